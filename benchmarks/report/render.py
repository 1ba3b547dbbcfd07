"""Markdown, CSV and LaTeX of a table. Rendering the same table twice gives the same bytes."""

from __future__ import annotations

import csv
import io
from collections import Counter

from benchmarks.cli.escaping import escape_csv, escape_latex, escape_markdown
from benchmarks.report.entries import MISSING, Entry
from benchmarks.report.judgment import Judgment
from benchmarks.report.tables import Table

# What a page shows of a table, and the letters of evidence; all of it is folded below.
MOST_COLUMNS, MOST_ROWS = 8, 25
_MOST_NAMING = 5
_LONG = 160


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
            *(f"| {j.claim} | {j.verdict} | {escape_markdown(_shorten(j))} |" for j in judgments),
            "",
        ]
    if (columns, rows) != everything:
        whole = _render_rows(table.header, *everything)
        lines += _fold(f"All {len(table.rows)} rows and {len(table.header)} columns", whole)
    if any(_shorten(judgment) != judgment.evidence for judgment in judgments):
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

    What the table itself says is shown. Else rows whose records a claim rests on come first, then
    what was measured, then what is quoted; columns that tell rows apart, and then those with most
    values.
    """
    cells = {cell for judgment in judgments for cell in judgment.cells}
    wanted = table.shown.where if table.shown else {}
    values = {table.header.index(name): {*map(str, values)} for name, values in wanted.items()}

    everywhere = range(len(table.rows))
    there = [
        index
        for index in everywhere
        if all(table.rows[index][column].text in texts for column, texts in values.items())
    ]

    def rank(index: int) -> int:
        records = [entry.record for entry in table.rows[index] if entry.record]
        if any(record.cell in cells for record in records):
            return 0
        return 1 if any(record.source == "measured" for record in records) else 2

    places = sorted(there or everywhere, key=rank)[:MOST_ROWS]
    rows = [table.rows[index] for index in sorted(places)]
    if table.shown:
        return [c for c, name in enumerate(table.header) if name in table.shown.columns], rows
    if len(table.header) <= MOST_COLUMNS:
        return [*range(len(table.header))], rows
    return _count_columns(table, rows), rows


def _count_columns(table: Table, rows: list[list[Entry]]) -> list[int]:
    """Columns that tell rows apart, and then those with most values."""

    def count(column: int) -> int:
        texts = (row[column].text for row in rows)
        return sum(bool(text) and not text.startswith(MISSING) for text in texts)

    kinds = {column: len({row[column].text for row in rows}) for column in range(table.naming)}
    differing = [column for column in kinds if column == 0 or kinds[column] > 1]
    naming = sorted(differing, key=lambda column: -kinds[column])[:_MOST_NAMING]
    others = [c for c in range(table.naming, len(table.header)) if count(c)]
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
        f"Of {len(judgments)} claim{'s' if len(judgments) > 1 else ''}, {verdicts['HOLDS']} hold, "
        f"{verdicts['FAILS']} fail, and {open_ones} are unclear or not measured."
    )


def _shorten(judgment: Judgment) -> str:
    """The first part of long evidence."""
    first = judgment.evidence.partition("; ")[0]
    return judgment.evidence if len(judgment.evidence) <= _LONG else first


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
