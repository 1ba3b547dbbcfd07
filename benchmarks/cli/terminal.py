"""Tables that the command lines print."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table

# Of what is no terminal, so that a file or a pipe gets whole rows.
_WIDTH = 160


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Collection[str] = (),
    total: Sequence[object] | None = None,
    caption: str | None = None,
) -> None:
    """Print a table on standard output.

    Args:
        headings: one per column.
        rows: a value per column; floats are shown with four digits, None as a dash.
        numbers: headings of the columns that are aligned at the right.
        total: a row that is set apart below the others.
        caption: a line below the table.
    """
    table = Table(caption=caption)
    for heading in headings:
        side: Literal["left", "right"] = "right" if heading in numbers else "left"
        table.add_column(heading, justify=side, overflow="fold")
    for row in rows:
        table.add_row(*map(_format_cell, row))
    if total is not None:
        table.add_section()
        table.add_row(*map(_format_cell, total))
    width = None if sys.stdout.isatty() else _WIDTH
    Console(highlight=False, markup=False, width=width).print(table)


def _format_cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
