import csv
import io
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from matplotlib.axes import Axes

from benchmarks.plan.specs import Column, TableSpec, get_spec
from benchmarks.records.environment import capture_environment
from benchmarks.records.result import Quantity
from benchmarks.report.claims import judge_claims
from benchmarks.report.entries import format_result, is_missing
from benchmarks.report.index import write_index
from benchmarks.report.judgment import Judgment
from benchmarks.report.plots import draw_plot
from benchmarks.report.render import (
    render_csv,
    render_latex,
    render_markdown,
)
from benchmarks.report.tables import build_table
from tests.benchmarks.making import make_cell, make_record, make_result

MIB = 2**20
ROOT = Path(__file__).parents[3]
BACKENDS = ["torch-mask", "torch-gather", "sdpa", "triton"]
SPEC = TableSpec.model_validate(
    {
        "name": "3",
        "title": "Memory & time_of attention",
        "text": "Two kinds of cells.",
        "default_profile": "smoke",
        "rows": ["k", "backend"],
        "columns": [
            {"header": "peak MiB", "kind": "memory", "metric": "peak", "format": "mib"},
            {"header": "form MiB", "kind": "memory", "metric": "closed_form", "format": "mib"},
            {"header": "time [99 %]", "kind": "latency", "metric": "ratio", "format": "interval"},
            {"header": "floor", "kind": "latency", "metric": "floor", "format": "percent"},
            {"header": "verdict", "kind": "latency", "metric": "verdict", "format": "text"},
        ],
        "plot": "attention",
        "profiles": {
            "smoke": {
                "about": "tiny",
                "claims": ["C1", "C2"],
                "grids": [
                    {
                        "kind": kind,
                        "n": 64,
                        "k": [16, 128],
                        "backend": BACKENDS,
                        "windows": 1,
                        "heads": 1,
                        "head_dim": 8,
                        "graph": "photo",
                        "dtype": "float32",
                        "mode": "forward",
                    }
                    for kind in ("memory", "latency")
                ],
            }
        },
    }
)
PROFILE = SPEC.profiles["smoke"]


@pytest.fixture(scope="module")
def environment():
    return capture_environment()


def make_records(environment):
    """All statuses at k = 16, a clamped k = 128, and sdpa's latency missing."""
    records = {}
    for cell in PROFILE.cells():
        fields = {"clamped": cell.k > cell.n}
        if cell.kind == "memory":
            fields |= {
                "peak": Quantity(value=1.25 * MIB * cell.k),
                "closed_form": Quantity(value=1.0 * MIB * cell.k),
            }
        else:
            fields |= {
                "verdict": "FASTER",
                "ratio": Quantity(value=0.5, lo=0.4567, hi=0.6),
                "floor": Quantity(value=0.0123),
            }
        if cell.backend == "triton":
            fields = {"status": "unsupported", "reason": "triton runs on cuda\nsecond line"}
        elif cell.backend == "torch-gather" and cell.kind == "memory":
            reason = "wanted 16 MiB, 50% over the limit"
            fields = {"status": "oom", "reason": reason, "closed_form": fields["closed_form"]}
        elif cell.backend == "sdpa" and cell.kind == "latency":
            continue
        records[cell] = make_record(cell, environment=environment, **fields)
    return records


def make_table(environment, records=None, problems=()):
    records = make_records(environment) if records is None else records
    return build_table(SPEC, "smoke", PROFILE, records, environment, list(problems))


def read_markdown_rows(text):
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[entry.strip() for entry in line.strip("|").split("|")] for line in lines]


def test_markdown_shows_values_statuses_and_reasons(environment):
    table = make_table(environment)
    text = render_markdown(table, [Judgment("C9 it works", "UNCLEAR", "-1 to 1")], "plot.svg")
    header, separator, *rows = read_markdown_rows(text)
    assert header == ["k", "backend", *(column.header for column in SPEC.columns)]
    assert set(separator) == {"---"}
    by_key = {tuple(row[:2]): row[2:] for row in rows}
    assert by_key["16", "torch-mask"] == ["20.0", "16.0", "0.500 [0.457, 0.600]", "1.2 %", "FASTER"]
    assert by_key["16", "torch-gather"][:2] == ["oom [1]", "16.0 [1]"]
    assert by_key["16", "sdpa"][2:] == ["- [2]"] * 3
    assert by_key["16", "triton"] == ["unsupported [3]", *[""] * 4]
    assert by_key["128", "torch-mask"][0] == "160.0 [4]"
    for note in (
        "[1] wanted 16 MiB, 50% over the limit",
        "[2] not measured: run without --from-records (profile smoke)",
        "[3] triton runs on cuda\n",
        "[4] k is clamped to the N tokens of the window",
    ):
        assert note in text
    assert "second line" not in text
    assert "![Table 3 (smoke): Memory & time_of attention](plot.svg)" in text
    assert ["C9 it works", "UNCLEAR", "-1 to 1"] in rows
    assert f"environment {environment.key}" in text
    command = "python -m benchmarks.reproduce --table 3 --profile smoke --from-records"
    assert f"`{command}`" in text


@pytest.mark.parametrize(
    ("text", "missing"),
    [("", True), ("-", True), ("- [1]", True), ("-0.5", False), ("-0.002 / -0.0001", False)],
)
def test_a_negative_number_is_a_value(text, missing):
    assert is_missing(text) is missing


def test_no_weights_are_a_dash_and_no_backend_is_unsupported(environment):
    spec = get_spec("8")
    name, profile = spec.profile("smoke")
    cell = next(cell for cell in profile.cells() if cell.kind == "quality")
    record = make_record(cell, "unsupported", "no weights ship", environment)
    table = build_table(spec, name, profile, {cell: record}, environment, [])
    shown = [entry for row in table.rows for entry in row if entry.record is record]
    assert {entry.text.partition(" ")[0] for entry in shown} == {"-"}
    assert shown[0].values == {"status": "unsupported"}
    assert "no weights ship" in table.notes


def test_too_few_rounds_for_an_interval_give_the_range_that_they_covered():
    column = Column(header="time", kind="latency", metric="ratio", format="interval")
    ratio = Quantity(value=0.5, lo=0.4567, hi=0.6)
    few, enough = (make_result(make_cell("latency"), ratio=ratio, rounds=n) for n in (7, 8))
    entry = format_result(column, few)
    assert entry.text == "0.500 (0.457 to 0.600 in 7 rounds)"
    assert entry.values == {"": 0.5, "lo": 0.4567, "hi": 0.6}
    assert format_result(column, enough).text == "0.500 [0.457, 0.600]"


def test_csv_holds_full_precision_and_statuses(environment):
    rows = list(csv.DictReader(io.StringIO(render_csv(make_table(environment)))))
    assert len(rows) == 2 * len(BACKENDS)
    by_key = {(row["k"], row["backend"]): row for row in rows}
    mask = by_key["16", "torch-mask"]
    assert float(mask["peak MiB"]) == 20
    assert [float(mask[f"time [99 %]{end}"]) for end in ("", " lo", " hi")] == [0.5, 0.4567, 0.6]
    assert mask["peak MiB status"] == ""
    gather = by_key["16", "torch-gather"]
    assert (gather["peak MiB"], gather["peak MiB status"]) == ("", "oom")
    assert float(gather["form MiB"]) == 16
    assert by_key["16", "triton"]["verdict status"] == "unsupported"
    assert by_key["16", "sdpa"]["floor status"] == "missing"


def test_latex_is_escaped_and_balanced(environment):
    text = render_latex(make_table(environment))
    assert r"\caption{Table 3 (smoke): Memory \& time\_of attention}" in text
    assert r"16 & torch-mask & 20.0 & 16.0 & 0.500 [0.457, 0.600] & 1.2 \% & FASTER \\" in text
    assert r"[1] wanted 16 MiB, 50\% over the limit" in text
    assert r"\begin{tabular}{lllllll}" in text
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert text.count("{") == text.count("}")
    body = text.split("\n", 1)[1]
    assert "%" not in body.replace(r"\%", "")


def test_rendering_twice_gives_the_same_bytes(environment):
    def render():
        records = make_records(environment)
        table = make_table(environment, records)
        judgments = judge_claims(PROFILE.claims, records)
        return [
            render_markdown(table, judgments, "plot.svg"),
            render_csv(table),
            render_latex(table),
            draw_plot("attention", SPEC.title, records),
        ]

    first, second = render(), render()
    assert first == second
    root = ElementTree.fromstring(first[-1])
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not root.findall(".//{http://purl.org/dc/elements/1.1/}date")


def test_svg_depends_on_the_records(environment):
    records = make_records(environment)
    cell = next(cell for cell in records if cell.backend == "torch-mask" and cell.kind == "memory")
    changed = {**records, cell: make_record(cell, peak=Quantity(value=7.0 * MIB))}
    assert draw_plot("attention", "t", records) != draw_plot("attention", "t", changed)


@pytest.mark.parametrize("plot", ["attention", "quality"])
def test_plot_of_nothing_is_a_picture_without_warnings(plot):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw_plot(plot, "t", {}).startswith("<?xml")


@pytest.mark.parametrize("kind", ["memory", "latency"])
def test_panels_without_values_say_so(environment, kind, monkeypatch):
    """All panels of one row have nothing: of the other kind of cell there is no record."""
    texts = []
    draw = Axes.text
    monkeypatch.setattr(Axes, "text", lambda *a, **b: texts.append(a[3]) or draw(*a, **b))
    records = {c: r for c, r in make_records(environment).items() if c.kind == kind}
    assert draw_plot("attention", "t", records).startswith("<?xml")
    assert texts == ["no values"]


def test_unreadable_records_are_named_on_the_page(environment):
    table = make_table(environment, problems=["records/table.jsonl:7: line: Invalid JSON"])
    assert "- records/table.jsonl:7: line: Invalid JSON" in render_markdown(table, [], "p.svg")


def test_table_without_records_says_so():
    table = build_table(SPEC, "smoke", PROFILE, {}, None, [])
    text = render_markdown(table, [], "p.svg")
    assert "Measured on: nothing measured" in text
    assert {row[2].text for row in table.rows} == {"- [1]"}
    assert {entry.text for row in table.rows for entry in row[3:]} == {""}


def test_quality_table_puts_printed_rows_beside_measured_ones(environment):
    spec = get_spec("8")
    name, profile = spec.profile("smoke")
    cells = {
        cell.model: cell
        for cell in profile.cells()
        if cell.kind == "quality" and (cell.dataset, cell.task) == ("Set5", "sr-x4")
    }
    records = {
        cell: make_record(
            cell,
            environment=environment,
            psnr=Quantity(value=28.421, unit="dB"),
            ssim=Quantity(value=0.81037),
            gain=Quantity(value=0.257, lo=-0.1, hi=0.5),
            partial="4 of 5" if model == "bicubic" else None,
            per_image={"baby": {"psnr": 30.0}, "bird": {"psnr": 27.0}},
        )
        for model, cell in cells.items()
    }
    table = build_table(spec, name, profile, records, environment, [])
    rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    by_model = {
        row["model"].text: row
        for row in rows
        if row["task"].text == "sr-x4" and "SemanIR" not in row["recipe"].text
    }
    printed = by_model["SwinIR"]
    assert printed["Set5"].text == "32.92 / 0.9044"
    assert printed["Set5"].values == {"PSNR": 32.92, "SSIM": 0.9044}
    assert printed["parameters"].text == "11.90 M"
    assert (printed["source"].text, printed["protocol"].text) == ("paper", "as printed")
    bicubic = by_model["bicubic"]
    mark = table.notes.index("Set5: 4 of 5 images") + 1
    assert bicubic["Set5"].text == f"28.42 / 0.8104 [{mark}]"
    assert bicubic["source"].text == "measured"
    assert bicubic["protocol"].text == "sr-y601-crop-scale@1"
    trained = by_model["kgt-tiny-x4"]
    assert trained["over bicubic on Set5, dB [99 %]"].text == "+0.26 [-0.10, +0.50]"
    assert trained["embedded"].values == {"status": "missing"}
    assert draw_plot("quality", "t", records) == draw_plot("quality", "t", records)


def test_index_lists_every_report_with_its_forms_and_command(tmp_path, environment):
    page = render_markdown(make_table(environment), [], "table3-smoke.svg")
    (tmp_path / "table3-smoke.md").write_text(page)
    (tmp_path / "table3-smoke.csv").write_text("k\n")
    write_index(tmp_path)
    *_, line = (tmp_path / "README.md").read_text().splitlines()
    assert line == (
        "| [Table 3 (smoke): Memory & time_of attention](table3-smoke.md) "
        "| [csv](table3-smoke.csv) "
        "| `python -m benchmarks.reproduce --table 3 --profile smoke --from-records` |"
    )
