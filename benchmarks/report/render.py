"""Markdown, CSV and LaTeX of a table. Rendering the same table twice gives the same bytes."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence

from benchmarks.cli.escaping import escape_csv, escape_latex, escape_markdown
from benchmarks.records.cell import Cell
from benchmarks.report.entries import Entry, is_missing
from benchmarks.report.judgment import Judgment, count_decided
from benchmarks.report.tables import Table

# What a page shows of a table; all of it is folded below.
MOST_COLUMNS, MOST_ROWS = 8, 25
_MOST_NAMING = 5


def render_markdown(table: Table, judgments: list[Judgment], plot: str, answer: str = "") -> str:
    """A page: verdicts, plot, what of the table decides, claims, all of it, how it was made.

    Args:
        table: the table.
        judgments: its claims.
        plot: name of the file of its plot.
        answer: what was found, in a sentence or two, with which the page opens.
    """
    opening = [f"**{answer}**", ""] if answer else []
    lines = [f"# {table.title}", "", *opening, _sum_up(judgments), "", table.text, ""]
    lines += [f"![{table.title}]({plot})", ""]
    everything = [*range(len(table.header))], table.rows
    columns, rows = choose_decisive(table, judgments)
    lines += _render_rows(table.header, columns, rows)
    lines += [
        f"[{number}] {escape_markdown(note)}\n" for number, note in enumerate(table.notes, start=1)
    ]
    if judgments:
        lines += ["## Claims", "", "| claim | verdict | evidence |", "| --- | --- | --- |"]
        lines += [
            *(f"| {j.claim} | {j.verdict} | {escape_markdown(j.summary)} |" for j in judgments),
            "",
        ]
    if (columns, rows) != everything:
        whole = _render_rows(table.header, *everything)
        lines += _fold(f"All {len(table.rows)} rows and {len(table.header)} columns", whole)
    if any(judgment.summary != judgment.evidence for judgment in judgments):
        texts = [f"- {j.claim}: {escape_markdown(j.evidence)}" for j in judgments]
        lines += _fold("All evidence", [*texts, ""])
    if table.protocols:
        lines += ["Scored by:", "", *(f"- {text}" for text in table.protocols), ""]
    if table.inputs:
        lines += ["Inputs:", "", *(f"- {text}" for text in table.inputs), ""]
    lines += [f"Coverage: {table.coverage}", ""]
    if table.spent:
        lines += [f"Time: {table.spent}", ""]
    lines += [f"Measured on: {escape_markdown(table.environment)}", ""]
    if table.problems:
        lines += ["Records that could not be read:", ""]
        lines += [*(f"- {escape_markdown(problem)}" for problem in table.problems), ""]
    lines += [f"Regenerate from the records: `{table.command}`", ""]
    return "\n".join(lines)


def choose_decisive(table: Table, judgments: list[Judgment]) -> tuple[list[int], list[list[Entry]]]:
    """The columns and rows that decide, in their order: at most `MOST_COLUMNS` and `MOST_ROWS`.

    What the table itself says is shown, of rows that have a record. Else rows whose records a claim
    rests on come first, then what was measured, then what is quoted; columns that tell rows apart,
    and then those with most values.
    """
    wanted = table.shown.where if table.shown else ()
    fits = [
        {table.header.index(name): {*map(str, values)} for name, values in where.items()}
        for where in wanted
    ]
    filled = [
        place
        for place, row in enumerate(table.rows)
        if _list_cells(row) or _count_values(row[table.naming :])
    ]
    everywhere = filled or range(len(table.rows))
    there = [
        place
        for place in everywhere
        if any(all(table.rows[place][c].text in texts for c, texts in fit.items()) for fit in fits)
    ]
    rows = [table.rows[place] for place in _cut(table, judgments, there or everywhere)]
    return _choose_columns(table, rows), rows


def _cut(table: Table, judgments: list[Judgment], places: Sequence[int]) -> list[int]:
    """At most `MOST_ROWS` of the places, in order; what a claim compares is shown whole or not.

    Only a claim that rests on more rows than that is cut row by row.
    """
    cells = {place: _list_cells(table.rows[place]) for place in places}
    claims = [{place for place in places if cells[place] & {*j.cells}} for j in judgments]
    wholes = [rows for rows in claims if len(rows) <= MOST_ROWS]
    single = set(places).difference(*wholes)
    in_claims = set[int]().union(*claims)

    def rank(place: int) -> tuple[bool, bool, int]:
        return place not in in_claims, not cells[place], place

    chosen: set[int] = set()
    for rows in [*wholes, *({place} for place in sorted(single, key=rank))]:
        if len(chosen | rows) <= MOST_ROWS:
            chosen |= rows
    return sorted(chosen)


def _list_cells(row: list[Entry]) -> set[Cell]:
    """The cells of a row that were measured, not quoted."""
    records = (entry.record for entry in row if entry.record)
    return {record.cell for record in records if record.source == "measured"}


def _count_values(entries: Iterable[Entry]) -> int:
    return sum(not is_missing(entry.text) for entry in entries)


def _choose_columns(table: Table, rows: list[list[Entry]]) -> list[int]:
    """Those that the table says, else those that tell rows apart and have most values."""

    def count(column: int) -> int:
        return _count_values(row[column] for row in rows)

    everything = range(len(table.header))
    if table.shown and table.shown.columns:
        named = [column for column in everything if table.header[column] in table.shown.columns]
        return [c for c in named if c < table.naming or count(c)][:MOST_COLUMNS]
    if len(table.header) <= MOST_COLUMNS:
        return [*everything]
    kinds = {column: len({row[column].text for row in rows}) for column in range(table.naming)}
    differing = [column for column in kinds if column == 0 or kinds[column] > 1]
    naming = sorted(differing, key=lambda column: -kinds[column])[:_MOST_NAMING]
    others = [c for c in everything[table.naming :] if count(c)]
    filled = sorted(others, key=lambda column: -count(column))
    return sorted([*naming, *filled[: MOST_COLUMNS - len(naming)]])


def _render_rows(header: list[str], columns: list[int], rows: list[list[Entry]]) -> list[str]:
    texts = ([escape_markdown(row[column].text) for column in columns] for row in rows)
    lines = [[header[column] for column in columns], ["---"] * len(columns), *texts]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _fold(title: str, lines: list[str]) -> list[str]:
    return ["<details>", f"<summary>{title}</summary>", "", *lines, "</details>", ""]


def _sum_up(judgments: list[Judgment]) -> str:
    """How many claims hold, fail and are not decided, in a sentence."""
    if not judgments:
        return "No claim is judged here."
    verdicts = Counter(judgment.verdict for judgment in judgments)
    open_ones = verdicts["UNCLEAR"] + verdicts["NOT MEASURED"]
    return (
        f"Of {len(judgments)} claim{'s' if len(judgments) > 1 else ''}, {count_decided(verdicts)}, "
        f"and {open_ones} {'is' if open_ones == 1 else 'are'} unclear or not measured."
    )


def render_csv(table: Table) -> str:
    """Full-precision numbers, one column per value, interval end and status."""
    names: list[str] = []
    for index, header in enumerate(table.header):
        suffixes = dict.fromkeys(key for row in table.rows for key in row[index].values)
        names += [_column_name(header, suffix) for suffix in suffixes or [""]]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(dict.fromkeys(names)), lineterminator="\n")
    writer.writeheader()
    for values in row_values(table):
        writer.writerow(
            {name: "" if value is None else escape_csv(value) for name, value in values.items()}
        )
    return stream.getvalue()


def row_values(table: Table) -> list[dict[str, object]]:
    """The full-precision numbers of every row by column name, for programs."""
    return [
        {
            _column_name(header, suffix): value
            for header, entry in zip(table.header, row, strict=True)
            for suffix, value in entry.values.items()
        }
        for row in table.rows
    ]


def _column_name(header: str, suffix: str) -> str:
    return f"{header} {suffix}".strip()


def render_latex(table: Table) -> str:
    """A tabular with its caption, for inclusion in a paper."""
    lines = [
        f"% {table.command}",
        r"\begin{table}",
        rf"\caption{{{escape_latex(table.title)}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.header)}}}",
        r"\hline",
        " & ".join(map(escape_latex, table.header)) + r" \\",
        r"\hline",
        *(" & ".join(escape_latex(entry.text) for entry in row) + r" \\" for row in table.rows),
        r"\hline",
        r"\end{tabular}",
    ]
    lines += [
        rf"\\{{\footnotesize [{number}] {escape_latex(note)}}}"
        for number, note in enumerate(table.notes, start=1)
    ]
    return "\n".join([*lines, r"\end{table}", ""])
