import csv
import io

import pytest

from benchmarks.plan.specs import get_spec, load_specs
from benchmarks.records.result import Quantity
from benchmarks.report.plots import draw_plot
from benchmarks.report.printed import judge_twins, measure_distances
from benchmarks.report.render import MOST_COLUMNS, render_csv, render_latex, render_markdown
from benchmarks.report.tables import build_table
from tests.benchmarks.making import make_record

SPEC = get_spec("1")
# Printed JPEG: Classic5 27.82 / .7600, LIVE1 27.77 / .7730, Urban100 26.33 / .7816 at q10.
PRINTED = {"Classic5": 27.82, "LIVE1": 27.77, "Urban100": 26.33}


def make_records(gaps, partial=()):
    """The JPEG files of each set at q10, measured so many dB above print."""
    records = {}
    for cell in SPEC.profiles["cpu"].cells():
        if cell.model == "identity" and cell.task == "jpeg-gray-q10" and cell.dataset in gaps:
            scores = {
                "psnr": Quantity(value=PRINTED[cell.dataset] + gaps[cell.dataset], unit="dB"),
                "ssim": Quantity(value=0.7731),
            }
            coverage = "25 of 100" if cell.dataset in partial else None
            records[cell] = make_record(cell, **scores, partial=coverage)
        elif cell.model == "kgt-u":
            reason = "no trained weights"
            records[cell] = make_record(cell, status="unsupported", reason=reason)
    return records


@pytest.mark.parametrize(
    ("gaps", "partial", "verdict", "evidence"),
    [
        (
            {"Classic5": 0.001, "LIVE1": -0.005},
            (),
            "HOLDS",
            "2 of 2 values do; farthest -0.0050 dB",
        ),
        (
            {"Classic5": 0.001, "LIVE1": 0.0051},
            (),
            "FAILS",
            "1 of 2 values do; farthest +0.0051 dB",
        ),
        (
            {"Classic5": 0.001, "Urban100": -0.2},
            ("Urban100",),
            "HOLDS",
            "1 of 1 values do; farthest +0.0010 dB, jpeg-gray-q10 on Classic5; "
            "left out as partial: Urban100 (25 of 100 images)",
        ),
        (
            {"Urban100": 0.0},
            ("Urban100",),
            "NOT MEASURED",
            "no complete set was measured; left out as partial: Urban100 (25 of 100 images)",
        ),
        ({}, (), "NOT MEASURED", "no complete set was measured"),
    ],
)
def test_print_is_reproduced_within_the_limit_on_every_complete_set(
    gaps, partial, verdict, evidence
):
    (judgment,) = judge_twins(SPEC, make_records(gaps, partial))
    assert judgment.claim == "identity reproduces JPEG as printed within 0.005 dB"
    assert (judgment.verdict, evidence in judgment.evidence) == (verdict, True)


def test_a_distance_is_measured_minus_printed():
    (distance,) = measure_distances(SPEC, make_records({"LIVE1": 0.25}))
    assert (distance.psnr, distance.ssim, distance.partial) == (0.25, 0.0001, None)
    other = {
        cell.model_copy(update={"protocol": "another@1"}): record
        for cell, record in make_records({"LIVE1": 0.25}).items()
    }
    assert measure_distances(SPEC, other) == []


def make_table(records):
    return build_table(SPEC, "cpu", SPEC.profiles["cpu"], records, None, [])


def test_the_row_below_a_measured_one_is_its_distance_to_print():
    table = make_table(make_records({"Classic5": 0.004, "Urban100": -0.2}, ("Urban100",)))
    rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    measured, distance = rows[:2]
    assert (measured["model"].text, distance["model"].text) == ("identity", "identity - JPEG")
    kgt, printed = (
        next(row for row in rows if row["model"].text == model) for model in ("kgt-u", "JPEG")
    )
    mark = table.notes.index("Urban100: 25 of 100 images") + 1
    assert measured["Urban100 q10"].text == f"26.13 / 0.7731 [{mark}]"
    assert distance["Classic5 q10"].text == "+0.004 / +0.0131"
    assert distance["Classic5 q10"].values == {"PSNR": 0.004, "SSIM": 0.0131}
    assert distance["Urban100 q10"].text == f"-0.200 / -0.0085 [{mark}]"
    assert distance["Classic5 q20"].text == "-"
    assert printed["Classic5 q10"].text == "27.82 / 0.7600"
    reason = table.notes.index("no trained weights") + 1
    assert kgt["Classic5 q10"].text == f"- [{reason}]"
    assert [row["source"].text for row in (measured, distance, kgt, printed)] == [
        "measured",
        "measured - printed",
        "not measured",
        "paper",
    ]
    planned = [c for c in SPEC.columns[1:] if c.where["dataset"] != "BSDS500"]
    assert {kgt[column.header].text for column in planned} == {""}


def make_scores(spec, degradations):
    """A score of every cell whose model, task and set stand in `degradations`."""
    scores = {"psnr": Quantity(value=28.87, unit="dB"), "ssim": Quantity(value=0.788)}
    records = {}
    for cell in spec.profiles["cpu"].cells():
        how = degradations.get((cell.model, cell.task, getattr(cell, "dataset", None)))
        if how:
            records[cell] = make_record(cell, **scores, degradation=how)
    return records


def test_a_twin_is_judged_by_its_authors_code_where_no_paper_is_quoted():
    spec = get_spec("8")
    cells = [(name, "sr-x4", "Set14") for name in ("smfanet-plus-x4", "hit-srf-x4")]
    records = make_scores(spec, dict.fromkeys(cells, "shipped"))
    judged = {j.claim: j for j in judge_twins(spec, records) if j.verdict != "NOT MEASURED"}
    by_code = "smfanet-plus-x4 reproduces SMFANet+ as scored by the authors' code within 0.005 dB"
    by_print = "hit-srf-x4 reproduces HiT-SRF as printed by HiT-SR within 0.02 dB"
    assert [*judged] == [by_code, by_print]
    assert "farthest +0.0040 dB" in judged[by_code].evidence
    assert "farthest +0.0000 dB" in judged[by_print].evidence
    table = build_table(spec, "cpu", spec.profiles["cpu"], records, None, [])
    sources = {row[1].text: row[-2].text for row in table.rows}
    assert sources["smfanet-plus-x4 - SMFANet+"] == "measured - scored by the authors' code"
    assert (sources["SMFANet+"], sources["HiT-SRF"]) == ("authors' code", "paper")


def test_a_distance_stands_in_the_columns_of_scores_alone():
    spec = get_spec("8")
    records = make_scores(spec, {("hit-srf-x4", "sr-x4", "Set5"): "shipped"})
    table = build_table(spec, "cpu", spec.profiles["cpu"], records, None, [])
    (row,) = (row for row in table.rows if row[1].text == "hit-srf-x4 - HiT-SRF")
    found = dict(zip(table.header, [entry.text for entry in row], strict=True))
    assert found["Set5"] == "-3.680 / -0.1119"
    assert found["over bicubic on Set5, dB [99 %]"] == "-"


def test_a_difference_that_rounds_to_nothing_has_no_minus():
    table = make_table(make_records({"LIVE1": -0.0004}))
    (row,) = (row for row in table.rows if row[0].text == "identity - JPEG")
    shown = dict(zip(table.header, row, strict=True))["LIVE1 q10"]
    assert shown.text == "+0.000 / +0.0001"
    assert shown.values["PSNR"] == -0.0004


def test_the_page_says_where_the_inputs_of_each_set_are_from():
    spec = get_spec("8")
    made = {("bicubic", f"sr-x{scale}", "Set5"): "shipped" for scale in (2, 4)}
    made |= {("bicubic", "sr-x3", "Set5"): "imresize@1", ("bicubic", "sr-x2", "Set14"): "shipped"}
    made |= {("bicubic", f"sr-x{scale}", "BSD100"): "imresize@1" for scale in (2, 3)}
    table = build_table(spec, "cpu", spec.profiles["cpu"], make_scores(spec, made), None, [])
    assert table.inputs == [
        "shipped with the set: Set5 (sr-x2, sr-x4), Set14",
        "imresize@1: BSD100, Set5 (sr-x3)",
        "BSD100 has the images of BSDS500-val",
    ]
    assert f"Inputs:\n\n- {table.inputs[0]}\n" in render_markdown(table, [], "p.svg")


def test_a_row_of_weights_trained_here_names_their_recipe():
    cell = next(c for c in SPEC.profiles["cpu"].cells() if c.model == "kgt-tiny-jpeg-color")
    scores = {"psnr": Quantity(value=30.0), "ssim": Quantity(value=0.9)}
    record = make_record(cell, **scores, trained="small-jpeg-color@1")
    table = make_table({cell: record})
    rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    (own,) = (row for row in rows if row["model"].text == "kgt-tiny-jpeg-color")
    assert own["source"].text == "ours, recipe small-jpeg-color@1"
    assert table.text.startswith(SPEC.text)
    assert "Rows marked `ours` are small-scale" in table.text
    assert make_table({}).text == SPEC.text


def test_every_printed_number_is_in_the_csv():
    rows = list(csv.DictReader(io.StringIO(render_csv(make_table({})))))
    shown = [
        row
        for row in rows
        if row["source"] == "paper" and row["model"] == "KGT" and "per level" in row["recipe"]
    ]
    assert len(shown) == 1
    assert float(shown[0]["Urban100 q40 PSNR"]) == 35.75
    values = [
        value
        for row in rows
        if row["source"] == "paper"
        for header, value in row.items()
        if header.endswith((" PSNR", " SSIM")) and value
    ]
    assert len(values) == 210


def test_coverage_counts_cells_partial_sets_and_printed_values():
    records = make_records({"Classic5": 0.0, "Urban100": 0.0}, ("Urban100",))
    table = make_table(records)
    assert table.coverage == (
        "2 of 60 planned cells have values, 1 of them of partial sets; 210 values are quoted"
    )
    assert f"Coverage: {table.coverage}\n" in render_markdown(table, [], "p.svg")


@pytest.mark.parametrize(
    "spec", [spec for spec in load_specs().values() if spec.papers], ids=lambda spec: spec.stem
)
def test_every_form_of_a_table_is_whole_and_repeats(spec):
    def render():
        table = build_table(spec, *spec.profile(None), {}, None, [])
        return table, render_markdown(table, [], "p.svg"), render_csv(table), render_latex(table)

    table, *forms = render()
    assert tuple(forms) == render()[1:]
    assert len(set(table.header)) == len(table.header)
    assert {len(row) for row in table.rows} == {len(table.header)}
    shown, _, folded = (_count_columns(part) for part in forms[0].partition("<details>"))
    assert len({*shown}) == 1
    assert shown[0] <= MOST_COLUMNS
    whole = folded or shown
    assert whole == [len(table.header)] * (len(table.rows) + 2)
    assert len(list(csv.reader(io.StringIO(forms[1])))) == len(table.rows) + 1
    assert forms[2].count(r" \\") == len(table.rows) + 1


def _count_columns(text):
    """Of every line of the tables in it."""
    return [line.count("|") - 1 for line in text.splitlines() if line.startswith("| ")]


def test_what_a_text_states_of_two_methods_is_a_note():
    spec = get_spec("semanir:3")
    table = build_table(spec, "smoke", spec.profiles["smoke"], {}, None, [])
    said = "as printed by SemanIR, saving: SemanIR-S vs HAT, sr-x4: -41.7 % parameters"
    assert said in table.notes
    assert not [row for row in table.rows if " vs " in row[1].text]


def test_rows_of_a_task_stand_together():
    spec = get_spec("8")
    table = build_table(spec, "smoke", spec.profiles["smoke"], {}, None, [])
    tasks = [row[0].text for row in table.rows]
    assert tasks == sorted(tasks)
    assert len(set(tasks)) == 3


def test_the_plot_marks_measured_and_printed_methods_and_repeats():
    records = make_records({"Classic5": 0.0})
    alone = draw_plot("quality", "t", records)
    assert alone == draw_plot("quality", "t", records)
    assert alone != draw_plot("quality", "t", make_records({"Classic5": 1.0}))
