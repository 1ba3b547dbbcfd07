from types import SimpleNamespace

import pytest

from benchmarks.records.cell import PrintedCell
from benchmarks.records.record import Record
from benchmarks.records.result import PrintedResult, Quantity
from benchmarks.report import signs
from benchmarks.report.site.exhibit_charts import draw_exhibit
from tests.benchmarks.making import make_cell, make_record


def draw(records):
    """What a chart shows of records, and the chart as data."""
    about, chart = draw_exhibit(SimpleNamespace(records={one.cell: one for one in records}))
    return about, chart.to_dict()


def find(part, name):
    """The values of a name at any depth."""
    if isinstance(part, dict):
        found = [part[name]] if name in part else []
        return found + [value for inner in part.values() for value in find(inner, name)]
    return (
        [value for inner in part for value in find(inner, name)] if isinstance(part, list) else []
    )


def rows_of(chart, *fields):
    """The rows of all data of a chart that have these fields, each once."""
    rows = [row for data in find(chart, "values") for row in data if isinstance(row, dict)]
    return sorted({tuple(row[name] for name in fields) for row in rows if fields[0] in row})


def time(**fields):
    cell = make_cell("latency", n=64, **fields)
    return make_record(cell, ratio=Quantity(value=0.5, lo=0.4, hi=0.6))


def test_times_are_of_one_baseline_with_ticks_at_the_k_that_were_measured():
    records = [time(backend="native", baseline="dense", k=k) for k in (12, 16, 48)]
    records += [time(backend="auto", baseline="dense", k=48)]
    records += [time(backend="auto", baseline="sdpa", k=40)]
    _, chart = draw(records)
    expected = [("auto", 48), ("native", 12), ("native", 16), ("native", 48)]
    assert rows_of(chart, "backend", "k") == expected
    assert [12, 16, 48] in find(chart, "values")
    assert "time / dense" in find(chart, "title")


def test_each_backend_has_its_color_and_its_marker():
    _, chart = draw(
        time(backend=name, baseline="dense", k=k) for name in ("native", "sdpa") for k in (8, 16)
    )
    own = [signs.BACKENDS[name] for name in ("native", "sdpa")]
    ranges = [scale["range"] for scale in find(chart, "scale") if "range" in scale]
    assert [sign.color for sign in own] in ranges
    assert [sign.shape for sign in own] in ranges


def test_models_differ_in_color_and_shape_and_quoted_ones_are_hollow():
    score = Quantity(value=30.0, unit="dB")
    names = ("kgt-tiny-x4", "swinir-tiny-x4", "identity")
    measured = [make_record(make_cell("quality", model=name), psnr=score) for name in names]
    cell = PrintedCell(
        kind="quality",
        task="sr-x4",
        dataset="Set5",
        model="KGT",
        source="as printed by KGT",
        variant="",
    )
    quoted = Record(cell=cell, result=PrintedResult(psnr=score))
    _, chart = draw([*measured, quoted])
    ours, theirs, other = map(signs.sign_of_model, names)
    assert len({ours.color, theirs.color, other.color}) == 3
    signed = {
        ("kgt-tiny-x4", "measured", ours.color, ours.shape),
        ("swinir-tiny-x4", "measured", theirs.color, theirs.shape),
        ("identity", "measured", other.color, other.shape),
        ("KGT", "quoted", ours.color, ours.shape),
    }
    assert {*rows_of(chart, "model", "source", "color", "shape")} == signed
    (filled,) = (one["scale"] for one in find(chart, "fillOpacity") if isinstance(one, dict))
    assert dict(zip(filled["domain"], filled["range"], strict=True)) == {"measured": 1, "quoted": 0}


@pytest.mark.parametrize(("rounds", "said"), [(7, True), (8, False)])
def test_networks_on_different_inputs_are_panels_and_bars_are_called_what_they_are(rounds, said):
    records = [
        make_record(
            make_cell("latency", model=name, input=size),
            latency=Quantity(value=5.0, lo=4.0, hi=6.0),
            rounds=rounds,
        )
        for name, size in (("kgt-s", "128x128"), ("kgt-s", "64x64"), ("swinir-m", "64x64"))
    ]
    _, chart = draw(records)
    assert rows_of(chart, "where", "network") == [
        ("input 128x128", "kgt-s"),
        ("input 64x64", "kgt-s"),
        ("input 64x64", "swinir-m"),
    ]
    assert chart["columns"] == 1
    assert chart["facet"]["sort"] == ["input 64x64", "input 128x128"]
    titles = [title for title in find(chart, "title") if title and "median time" in title]
    assert titles
    assert all(("range where fewer than 8 rounds" in title) is said for title in titles)


def test_many_inputs_are_panels_in_two_columns():
    records = [
        make_record(
            make_cell("latency", model="kgt-s", input=f"{8 * n}x64"),
            latency=Quantity(value=5.0, lo=4.0, hi=6.0),
        )
        for n in range(1, 8)
    ]
    _, chart = draw(records)
    assert chart["columns"] == 2
