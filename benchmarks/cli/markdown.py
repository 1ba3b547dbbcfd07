"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def render_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as lines; cells are Markdown themselves."""
    head, *body = (f"| {' | '.join(row)} |" for row in (headings, *rows))
    return "\n".join([head, "|" + " --- |" * len(headings), *body])


def escape(text: str) -> str:
    """Text on one line, its bars escaped so that they end no cell."""
    return " ".join(text.split()).replace("|", "\\|")
