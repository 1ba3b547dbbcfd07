"""What a page shows before its fold."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.plan.specs import Shown, TableSpec, get_spec
from benchmarks.records.result import Quantity
from benchmarks.report.claims.training import list_tested
from benchmarks.report.entries import Entry
from benchmarks.report.judgment import Judgment
from benchmarks.report.render import MOST_COLUMNS, MOST_ROWS, choose_decisive, render_markdown
from benchmarks.report.reproduction import Reproduction
from benchmarks.report.tables import build_table
from tests.benchmarks.making import make_cell, make_record

ROOT = Path(__file__).parents[3]


def make_table():
    """A table of which nothing is measured, and that does not say what is shown."""
    spec = get_spec("7")
    return build_table(spec, "smoke", spec.profiles["smoke"], {}, None, [])


def make_long_table(rows=40, columns=12):
    """A table whose columns but the first are filled in every second row, the last one never."""
    cells = [make_cell("memory", k=k + 1) for k in range(rows)]
    records = [make_record(cell, peak=Quantity(value=1.0)) for cell in cells]
    table = make_table()
    entries = [
        [Entry(f"row {index}"), Entry("same")]
        + [Entry("1.0" if index % 2 else "-", {}, record) for _ in range(columns - 3)]
        + [Entry("- [1]")]
        for index, record in enumerate(records)
    ]
    header = ["name", "constant", *(f"c{n}" for n in range(columns - 3)), "never"]
    return replace(table, header=header, rows=entries, naming=2), cells


def test_a_long_table_shows_what_decides_and_folds_the_rest():
    table, cells = make_long_table()
    judged = Judgment("C9 it works", "HOLDS", "yes; because", (cells[-1], cells[-2]))
    columns, rows = choose_decisive(table, [judged])
    assert len(rows) == MOST_ROWS
    assert len(columns) == MOST_COLUMNS
    assert [row[0].text for row in rows][-2:] == ["row 38", "row 39"]
    assert 0 in columns
    assert not {1, len(table.header) - 1} & {*columns}
    text = render_markdown(table, [judged], "p.svg")
    shown, _, folded = text.partition("<details>")
    assert "row 39" in shown
    assert "row 30" not in shown
    assert all(f"| row {index} |" in folded for index in range(40))
    assert "All 40 rows and 12 columns" in folded
    assert "Of 1 claim, 1 holds, 0 fail, and 0 are unclear or not measured." in shown


def test_rows_that_nobody_measured_are_folded():
    table, _ = make_long_table()
    empty = [[*row[:2], *([Entry("- [1]")] * len(row[2:]))] for row in table.rows[:30]]
    table = replace(table, rows=[*empty, *table.rows[30:]])
    _, rows = choose_decisive(table, [])
    assert [row[0].text for row in rows] == [f"row {index}" for index in range(30, 40)]


@pytest.mark.parametrize("rows_of_a_claim", [2, 4])
def test_a_cut_never_parts_what_a_claim_compares(rows_of_a_claim):
    table, cells = make_long_table()
    apart = len(cells) // rows_of_a_claim
    claims = [
        Judgment(f"C{number}", "UNCLEAR", "", tuple(cells[number::apart]))
        for number in range(apart)
    ]
    everything = Judgment("C99", "UNCLEAR", "", tuple(cells))
    _, rows = choose_decisive(table, [everything, *claims])
    assert len(rows) == MOST_ROWS - MOST_ROWS % rows_of_a_claim
    shown = {entry.record.cell for row in rows for entry in row if entry.record}
    kept = [shown & {*claim.cells} for claim in claims]
    assert {len(part) for part in kept} == {0, rows_of_a_claim}


def test_the_page_of_the_small_networks_shows_where_they_lose():
    spec = get_spec("small", "study")
    work = Reproduction(spec, "cpu", spec.profile("cpu")[1], ROOT / "results")
    report = work.build(work.store.newest_environment(work.cells))
    columns, rows = choose_decisive(report.table, report.judgments)
    names = [report.table.header[column] for column in columns]
    shown = {(row[0].text, row[1].text) for row in rows}
    worst = {}
    for found in (tested.found for tested in list_tested(report.records)):
        least = worst.setdefault(found.ours.task, found)
        worst[found.ours.task] = min(least, found, key=lambda f: f.gain.mean)
    lost = [found for found in worst.values() if found.gain.mean < 0]
    assert len(lost) > 2
    for found in lost:
        assert found.ours.dataset in names
        assert {(arm.task, arm.model) for arm in (found.ours, found.theirs)} <= shown


def test_a_table_says_itself_what_is_shown_before_the_fold():
    table, cells = make_long_table()
    wanted = ({"name": ("row 7", "row 9")}, {"name": ("row 38",), "constant": ("same",)})
    table = replace(table, shown=Shown(columns=("name", "c3", "never"), where=wanted))
    judged = Judgment("C9 it works", "HOLDS", "yes; because", (cells[0],))
    columns, rows = choose_decisive(table, [judged])
    assert [table.header[column] for column in columns] == ["name", "c3"]
    assert [row[0].text for row in rows] == ["row 7", "row 9", "row 38"]
    # Where a profile measures none of them, the rows that decide are shown.
    nowhere = replace(table, shown=Shown(columns=("name",), where=({"name": ("row 99",)},)))
    _, rows = choose_decisive(nowhere, [judged])
    assert len(rows) == MOST_ROWS
    assert rows[0][0].text == "row 0"


@pytest.mark.parametrize(
    ("shown", "named"),
    [({"columns": ["colum"]}, "colum"), ({"columns": ["n"], "where": [{"size": [1]}]}, "size")],
)
def test_what_is_shown_must_be_of_the_table(shown, named):
    spec = get_spec("3").model_dump(mode="json")
    with pytest.raises(ValueError, match=f"unknown (column|field) '{named}'"):
        TableSpec.model_validate({**spec, "shown": shown})


def test_long_evidence_stands_in_one_line_and_in_full_below():
    evidence = "the first part; " + "and so on " * 30
    text = render_markdown(make_table(), [Judgment("C9", "FAILS", evidence)], "p.svg")
    assert "| C9 | FAILS | the first part |" in text
    assert f"- C9: {evidence.strip()}" in text.partition("All evidence")[2]
