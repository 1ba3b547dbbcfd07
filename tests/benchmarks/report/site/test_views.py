from types import SimpleNamespace

from benchmarks.plan.specs import TableSpec
from benchmarks.records.result import Quantity
from benchmarks.report.site.tables import Cell, make_view, view_exhibit
from benchmarks.report.tables import build_table
from tests.benchmarks.making import make_record


def view(rows, columns, cells):
    """The view of a study with these columns, of cells with fields and results, or unmeasured."""
    grids = [{name: [value] for name, value in fields.items()} for fields, _ in cells]
    common = {"n": 64, "k": 8, "windows": 1, "heads": 1, "head_dim": 1}
    common |= {"graph": "photo", "dtype": "float32", "mode": "forward"}
    profile = {"about": "tiny", "common": common, "grids": grids}
    spec = TableSpec.model_validate(
        {"kind": "study", "name": "x", "title": "x", "text": "x", "default_profile": "cpu"}
        | {"rows": rows, "columns": columns, "plot": "attention", "profiles": {"cpu": profile}}
    )
    planned = spec.profiles["cpu"].cells()
    records = {
        cell: make_record(cell, **result)
        for cell, (_, result) in zip(planned, cells, strict=True)
        if result is not None
    }
    table = build_table(spec, "cpu", spec.profiles["cpu"], records, None, [])
    exhibit = SimpleNamespace(spec=spec, report=SimpleNamespace(table=table))
    return view_exhibit(SimpleNamespace(path_of=lambda record: record.cell.hash), exhibit)


def styles(view, name):
    """Text and style of each cell of a column."""
    return [
        (row[view.header.index(name)].text, row[view.header.index(name)].style) for row in view.rows
    ]


def time(backend, baseline, ms, beside):
    fields = {"kind": "latency", "backend": backend, "baseline": baseline}
    ratio = Quantity(value=ms / beside, lo=ms / beside, hi=ms / beside)
    result = {"latency": Quantity(value=ms), "baseline_latency": Quantity(value=beside)}
    return fields, {**result, "ratio": ratio}


def test_best_and_second_are_of_one_baseline_and_never_of_the_baseline_itself():
    columns = [
        {"header": "ms", "kind": "latency", "metric": "latency", "format": "ms"},
        {"header": "other", "kind": "latency", "metric": "baseline_latency", "format": "ms"},
        {"header": "ratio", "kind": "latency", "metric": "ratio", "format": "ratio"},
    ]
    cells = [
        time("native", "dense", 2.0, 8.0),
        time("sdpa", "dense", 6.0, 8.5),
        time("native", "sdpa", 1.0, 9.0),
    ]
    shown = view(["baseline", "contender"], columns, cells)
    assert styles(shown, "ratio") == [("0.250", "best"), ("0.706", "second"), ("0.111", "")]
    assert [style for _, style in styles(shown, "ms")] == ["best", "second", ""]
    assert [style for _, style in styles(shown, "other")] == ["", "", ""]


def test_what_a_formula_is_off_by_is_no_contest():
    columns = [
        {"header": "peak", "kind": "memory", "metric": "peak", "format": "mib"},
        {"header": "off", "kind": "memory", "metric": "peak_over_closed_form", "format": "ratio"},
    ]
    cells = [
        (
            {"kind": "memory", "backend": backend},
            {
                "peak": Quantity(value=mib * 2**20),
                "peak_over_closed_form": Quantity(value=mib / 4),
            },
        )
        for backend, mib in (("native", 3.0), ("sdpa", 5.0))
    ]
    shown = view(["contender"], columns, cells)
    assert [style for _, style in styles(shown, "peak")] == ["best", "second"]
    assert [style for _, style in styles(shown, "off")] == ["", ""]


def test_rows_without_a_value_come_last():
    columns = [{"header": "ms", "kind": "latency", "metric": "latency", "format": "ms"}]
    missing = {"kind": "latency", "backend": "sdpa", "baseline": "dense"}, None
    cells = [missing, time("native", "dense", 2.0, 8.0), time("flex", "dense", 3.0, 8.0)]
    shown = view(["contender"], columns, cells)
    assert [row[0].text for row in shown.rows] == ["native", "flex", "sdpa"]
    assert [text for text, _ in styles(shown, "ms")][:2] == ["2.00", "3.00"]


def test_seeds_of_one_arm_do_not_compete():
    columns = [{"header": "ms", "kind": "latency", "metric": "latency", "format": "ms"}]
    cells = [
        (
            {"kind": "latency", "backend": backend, "seed": seed},
            {"latency": Quantity(value=ms)},
        )
        for seed, backend, ms in (
            *((1, "native", 1.0), (1, "sdpa", 3.0)),
            *((2, "native", 5.0), (2, "sdpa", 4.0)),
        )
    ]
    shown = view(["contender", "seed"], columns, cells)
    found = dict(styles(shown, "ms"))
    assert found == {"1.00": "best", "3.00": "second", "5.00": "second", "4.00": "best"}


def test_columns_without_a_value_are_left_out_and_filters_follow_those_that_stay():
    rows = [
        [Cell("a"), Cell(""), Cell("- [1]"), Cell("-0.5", order=-0.5)],
        [Cell("b"), Cell("-"), Cell("-"), Cell("")],
    ]
    found = make_view("x", ("name", "none", "reason", "gain"), rows, ("name", "reason", "gain"))
    assert found.header == ["name", "gain"]
    assert found.empty == ["none", "reason"]
    assert [[cell.text for cell in row] for row in found.rows] == [["a", "-0.5"], ["b", ""]]
    assert [(one.column, one.name) for one in found.filters] == [(0, "name"), (1, "gain")]
    assert found.keys == [[None, -0.5], [None, "-"]]


def test_a_table_without_rows_keeps_its_columns():
    assert make_view("x", ("name", "value"), []).header == ["name", "value"]


def test_a_filter_offers_what_no_row_has_where_that_is_asked():
    rows = [[Cell("steady")], [Cell("steady")]]
    found = make_view("x", ("verdict",), rows, ("verdict",), offered={"verdict": ["regressed"]})
    assert [one.values for one in found.filters] == [["steady", "regressed"]]
