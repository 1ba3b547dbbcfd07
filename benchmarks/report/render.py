"""Markdown, CSV and LaTeX of a table. Rendering the same table twice gives the same bytes."""

from __future__ import annotations

import csv
import io

from benchmarks.report.judgment import Judgment
from benchmarks.report.tables import Table

_LATEX_SPECIAL = str.maketrans(
    {"\\": r"\textbackslash{}", **{character: rf"\{character}" for character in "&%$#_{}"}}
)


def render_markdown(table: Table, judgments: list[Judgment], plot: str) -> str:
    """A page: heading, table, footnotes, protocols, plot, claims, where and how it was made."""
    lines = [f"# {table.title}", "", table.text, ""]
    texts = ([entry.text for entry in row] for row in table.rows)
    rows = [table.header, ["---"] * len(table.header), *texts]
    lines += [*(f"| {' | '.join(row)} |" for row in rows), ""]
    lines += [f"[{number}] {note}\n" for number, note in enumerate(table.notes, start=1)]
    if table.protocols:
        lines += ["Scored by:", "", *(f"- {text}" for text in table.protocols), ""]
    lines += [f"![{table.title}]({plot})", ""]
    if judgments:
        lines += ["## Claims", "", "| claim | verdict | evidence |", "| --- | --- | --- |"]
        lines += [*(f"| {j.claim} | {j.verdict} | {j.evidence} |" for j in judgments), ""]
    lines += [f"Coverage: {table.coverage}", ""]
    if table.spent:
        lines += [f"Time: {table.spent}", ""]
    lines += [f"Measured on: {table.environment}", ""]
    if table.problems:
        lines += ["Records that could not be read:", ""]
        lines += [*(f"- {problem}" for problem in table.problems), ""]
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
        writer.writerow({name: "" if value is None else value for name, value in values.items()})
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
        rf"\caption{{{_escape(table.title)}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.header)}}}",
        r"\hline",
        " & ".join(map(_escape, table.header)) + r" \\",
        r"\hline",
        *(" & ".join(_escape(entry.text) for entry in row) + r" \\" for row in table.rows),
        r"\hline",
        r"\end{tabular}",
    ]
    lines += [
        rf"\\{{\footnotesize [{number}] {_escape(note)}}}"
        for number, note in enumerate(table.notes, start=1)
    ]
    return "\n".join([*lines, r"\end{table}", ""])


def _escape(text: str) -> str:
    return text.translate(_LATEX_SPECIAL)
