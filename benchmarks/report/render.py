"""Markdown, CSV and LaTeX of a table. Rendering the same table twice gives the same bytes."""

from __future__ import annotations

import csv
import io

from benchmarks.cli.escaping import escape_csv, escape_latex, escape_markdown
from benchmarks.report.judgment import Judgment
from benchmarks.report.tables import Table


def render_markdown(table: Table, judgments: list[Judgment], plot: str, answer: str = "") -> str:
    """A page: heading, table, footnotes, rules, inputs, plot, claims, where and how it was made.

    Args:
        table: the table.
        judgments: its claims.
        plot: name of the file of its plot.
        answer: what was found, in a sentence or two, with which the page opens.
    """
    lines = [f"# {table.title}", "", *([f"**{answer}**", ""] if answer else []), table.text, ""]
    texts = ([escape_markdown(entry.text) for entry in row] for row in table.rows)
    rows = [table.header, ["---"] * len(table.header), *texts]
    lines += [*(f"| {' | '.join(row)} |" for row in rows), ""]
    lines += [
        f"[{number}] {escape_markdown(note)}\n" for number, note in enumerate(table.notes, start=1)
    ]
    if table.protocols:
        lines += ["Scored by:", "", *(f"- {text}" for text in table.protocols), ""]
    if table.inputs:
        lines += ["Inputs:", "", *(f"- {text}" for text in table.inputs), ""]
    lines += [f"![{table.title}]({plot})", ""]
    if judgments:
        lines += ["## Claims", "", "| claim | verdict | evidence |", "| --- | --- | --- |"]
        lines += [
            *(f"| {j.claim} | {j.verdict} | {escape_markdown(j.evidence)} |" for j in judgments),
            "",
        ]
    lines += [f"Coverage: {table.coverage}", ""]
    if table.spent:
        lines += [f"Time: {table.spent}", ""]
    lines += [f"Measured on: {escape_markdown(table.environment)}", ""]
    if table.problems:
        lines += ["Records that could not be read:", ""]
        lines += [*(f"- {escape_markdown(problem)}" for problem in table.problems), ""]
    lines += [f"Regenerate from the records: `{table.command}`", ""]
    return "\n".join(lines)


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
