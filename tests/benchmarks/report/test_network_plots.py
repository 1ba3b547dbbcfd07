import warnings

import pytest

from benchmarks.plan.specs import get_spec
from benchmarks.records.result import Quantity
from benchmarks.report.networks import FIRST_PIXELS
from benchmarks.report.plots import draw_plot, efficiency, keys, pareto, restoration, scaling
from benchmarks.report.plots.pareto import pareto_front, place_methods
from tests.benchmarks.making import make_cell, make_record

SPECS = {
    "scaling": get_spec("scaling", "study"),
    "keys": get_spec("network-keys", "study"),
    "restoration": get_spec("restoration", "study"),
    "pareto": get_spec("pareto", "study"),
    "efficiency": get_spec("semanir:3"),
}
DRAW = {
    "scaling": scaling.draw,
    "keys": keys.draw,
    "restoration": restoration.draw,
    "pareto": pareto.draw,
    "efficiency": efficiency.draw,
}


def make_records(name, profile="cpu"):
    """A record with plausible values of every cell; memory ends at 8 GiB."""
    records = {}
    for cell in SPECS[name].profiles[profile].cells():
        pixels = getattr(cell, "pixels", 4096)
        interval = {"lo": 0.9, "hi": 1.1}
        metrics = {
            "latency": {
                "latency": pixels / 100,
                "ratio": 1.0,
                "floor": 0.01,
                "growth": pixels / FIRST_PIXELS,
            },
            "memory": {"peak": 6000 * pixels},
            "cost": {"flops": 1e6 * pixels, "parameters": 12_000_000},
            "restoration": {
                "peak": 1e9,
                "whole_peak": 3e9,
                "time": 9,
                "whole_time": 8,
                "budget": 2e9,
            },
            "quality": {"psnr": 30 + (getattr(cell, "k", 0) or 0) / 100},
        }[cell.kind]
        found = {
            key: Quantity(value=value, **(interval if key == "ratio" else {}))
            for key, value in metrics.items()
        }
        too_large = cell.kind == "memory" and found["peak"].value > 8 * 2**30
        fields = {"status": "oom", "reason": "needs more"} if too_large else found
        records[cell] = make_record(cell, **fields)
    return records


@pytest.mark.parametrize("name", DRAW)
@pytest.mark.parametrize("profile", ["smoke", "cpu"])
def test_plots_are_labeled_repeatable_and_without_warnings(name, profile):
    records = make_records(name, profile)
    figure = DRAW[name](records)
    shown = [axis for axis in figure.axes if axis.axison]
    assert all(axis.get_xlabel() for axis in shown)
    assert any(axis.get_ylabel() or axis.get_yticklabels() for axis in shown)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = draw_plot(name, "t", records)
    assert draw_plot(name, "t", records) == first


@pytest.mark.parametrize("name", DRAW)
def test_plot_of_no_records_says_so(name):
    assert [text.get_text() for text in DRAW[name]({}).texts] == ["nothing measured"]


@pytest.mark.parametrize("name", DRAW)
def test_plot_of_failures_alone_is_a_picture(name):
    records = {
        cell: make_record(cell, status="failed", reason="why") for cell in make_records(name)
    }
    assert draw_plot(name, "t", records).startswith("<?xml")


def test_scaling_shows_units_exponents_and_what_does_not_fit():
    time, memory = scaling.draw(make_records("scaling")).axes
    assert time.get_ylabel() == "median time of a call, s"
    assert memory.get_ylabel() == "peak memory of a call beyond the weights, MiB"
    assert {axis.get_xscale() for axis in (time, memory)} == {"log"}
    assert "kgt-tiny-x4, native: 1.00" in time.texts[0].get_text()
    crosses = [line for line in memory.lines if line.get_marker() == "x"]
    oom = [r for r in make_records("scaling").values() if r.status == "oom"]
    assert len(crosses) == len(oom) > 0
    assert {line.get_xdata()[0] for line in crosses} == {record.cell.pixels for record in oom}
    seconds = {x: y for line in time.lines for x, y in zip(*line.get_data(), strict=True)}
    assert seconds[540 * 960] == pytest.approx(540 * 960 / 100 / 1e3)


def test_keys_have_a_column_per_window_and_a_line_where_both_are_even():
    axes = keys.draw(make_records("keys")).axes
    assert [axis.get_title() for axis in axes if axis.get_title()] == [
        f"windows of {side}x{side} tokens" for side in (32, 16, 8)
    ]
    assert any(list(line.get_ydata()) == [1.0, 1.0] for line in axes[0].lines)


def make_methods(*points):
    records = {}
    for name, ratio, psnr in points:
        common = {"task": "sr-x4", "model": name}
        quality = make_cell("quality", dataset="Set5", **common)
        latency = make_cell("latency", input="64x64", **common)
        records[quality] = make_record(quality, psnr=Quantity(value=psnr))
        records[latency] = make_record(latency, ratio=Quantity(value=ratio))
    return records


def test_front_holds_what_no_faster_method_equals():
    points = [("slow", 9, 31), ("fast", 1, 28), ("worse", 2, 27.5), ("good", 3, 30), ("tie", 4, 30)]
    (methods,) = place_methods(make_methods(*points)).values()
    assert [method.model for method in methods] == ["fast", "worse", "good", "tie", "slow"]
    assert [method.model for method in pareto_front(methods)] == ["fast", "good", "slow"]


def test_methods_without_time_or_quality_have_no_place():
    records = make_methods(("a", 1, 30), ("b", 2, 31))
    timeless = {c: r for c, r in records.items() if (c.kind, c.model) != ("latency", "b")}
    ((_, methods),) = place_methods(timeless).items()
    assert [method.model for method in methods] == ["a"]
    assert place_methods({c: r for c, r in records.items() if c.kind == "quality"}) == {}


def test_numbers_of_keys_have_markers_of_their_own():
    (legend,) = pareto.draw(make_records("pareto")).legends
    shapes = {
        handle.get_label(): handle.get_marker()
        for handle in legend.legend_handles
        if handle.get_label().startswith("k = ")
    }
    assert list(shapes) == ["k = 16", "k = 32", "k = 64", "k = 128", "k = 256"]
    assert len({*shapes.values(), "o"}) == 6
