import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks.plan.specs import get_spec
from benchmarks.records.result import Quantity
from benchmarks.report.plots import axes, crossover, draw_plot
from benchmarks.report.series import axis_sweeps, latency_lines
from tests.benchmarks.making import make_record


def make_records(study, profile="cpu", ratio=0.5, **unsupported):
    """A record of every cell of a study; cells with all fields in `unsupported` have no value."""
    records = {}
    for cell in get_spec(study, "study").profiles[profile].cells():
        fields = {"ratio": Quantity(value=ratio, lo=0.9 * ratio, hi=1.1 * ratio)}
        if unsupported and unsupported.items() <= cell.model_dump().items():
            fields = {"status": "unsupported", "reason": "not here"}
        records[cell] = make_record(cell, **fields)
    return records


def read_texts(figure):
    return {
        "titles": [axis.get_title() for axis in figure.axes],
        "x": [axis.get_xlabel() for axis in figure.axes if axis.axison],
        "y": figure.axes[0].get_ylabel(),
        "legend": [text.get_text() for text in figure.legends[0].get_texts()],
    }


def test_crossover_has_a_panel_per_size_and_a_line_at_one():
    figure = crossover.draw(make_records("attention-crossover"))
    assert read_texts(figure) == {
        "titles": ["N = 64 tokens", "N = 256 tokens", "N = 1,024 tokens"],
        "x": ["k / N (share of keys kept)"] * 3,
        "y": "time / dense (99 % interval)",
        "legend": ["torch-mask", "sdpa", "native", "auto", "photo graph", "random graph"],
    }
    for axis in figure.axes:
        assert (axis.get_xscale(), axis.get_yscale()) == ("log", "log")
        assert any(list(line.get_ydata()) == [1.0, 1.0] for line in axis.lines)


def test_axes_have_a_panel_each_and_name_contender_and_baseline():
    figure = axes.draw(make_records("attention-axes"))
    texts = read_texts(figure)
    assert texts["x"] == [
        *("head dimension D", "heads H", "element type", "threads"),
        *("position bias", "passes", "graph"),
    ]
    assert texts["y"] == "time / baseline (99 % interval)"
    assert texts["legend"] == ["native / dense", "native / sdpa", "sdpa / dense"]
    ticks = [[tick.get_text() for tick in axis.get_xticklabels()] for axis in figure.axes]
    assert ticks[0] == ["8", "16", "30", "32", "64"]
    assert ticks[2] == ["float32", "bfloat16"]
    assert ticks[4] == ["no", "yes"]


def test_axis_without_values_says_so():
    records = make_records("attention-axes", bias=False)
    figure = axes.draw({cell: r for cell, r in records.items() if not cell.bias})
    said = [[text.get_text() for text in axis.texts] for axis in figure.axes if axis.axison]
    assert said == [["no values"]] * len(said)


@pytest.mark.parametrize("name", ["crossover", "axes"])
@pytest.mark.parametrize("status", [{}, {"kind": "latency"}, {"backend": "native"}])
@pytest.mark.parametrize("profile", ["smoke", "cpu"])
def test_plots_are_pictures_without_warnings_and_repeatable(name, status, profile):
    records = make_records(f"attention-{name}", profile, **status)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = draw_plot(name, "t", records)
    assert first.startswith("<?xml")
    assert draw_plot(name, "t", records) == first
    with np.printoptions(legacy="1.13"):  # which importing colour-science leaves behind
        assert draw_plot(name, "t", records) == first


@pytest.mark.parametrize("draw", [crossover.draw, axes.draw])
def test_plot_of_no_records_says_so(draw):
    figure = draw({})
    assert isinstance(figure, Figure)
    assert [text.get_text() for text in figure.texts] == ["nothing measured"]


def test_sweeps_hold_one_axis_and_the_usual_value_of_all_others():
    sweeps = axis_sweeps(make_records("attention-axes"))
    assert {axis: list(sweep) for axis, sweep in sweeps.items()} == {
        "head_dim": [8, 16, 30, 32, 64],
        "heads": [3, 6, 12],
        "dtype": ["float32", "bfloat16"],
        "threads": [1, 2],
        "bias": [False, True],
        "mode": ["forward", "backward"],
        "graph": ["photo", "random"],
    }
    for axis, sweep in sweeps.items():
        for value, ratios in sweep.items():
            extra = [("native", "sdpa")] if (axis, value) == ("bias", True) else []
            assert sorted(ratios) == sorted([("sdpa", "dense"), ("native", "dense"), *extra])


def test_lines_leave_out_cells_with_a_bias_clamped_cells_and_those_without_a_value():
    records = make_records("attention-crossover", backend="sdpa")
    clamped = next(cell for cell in records if (cell.n, cell.backend) == (64, "auto"))
    records[clamped] = make_record(clamped, clamped=True)
    lines = latency_lines(records)
    assert list(lines) == [(64, "photo"), (256, "photo"), (1024, "photo"), (1024, "random")]
    assert {name for contenders in lines.values() for name in contenders} == {
        *("torch-mask", "native", "auto")
    }
    assert clamped.k not in lines[64, "photo"]["auto"]
    biased = axis_sweeps(make_records("attention-axes"))["bias"][True]
    assert biased
    records = {
        cell: record
        for cell, record in make_records("attention-axes").items()
        if (cell.threads, cell.backend, cell.baseline) == (2, "native", "dense")
    }
    biased, unbiased = (
        {cell: record for cell, record in records.items() if bool(cell.bias) == has_bias}
        for has_bias in (True, False)
    )
    assert latency_lines(biased) == {}
    assert latency_lines(records) == latency_lines(unbiased) != {}
