"""Names and texts from outside in Markdown, LaTeX and CSV: they are shown, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MARKDOWN = {"|": "\\|", "<": "&lt;", "](": "]\\("}
_LATEX = str.maketrans(
    {
        **{character: rf"\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
    }
)
# What a program for spreadsheets may take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def escape_markdown(text: str) -> str:
    """Text on one line, in which nothing ends a cell, is a tag or makes a link."""
    text = " ".join(text.split())
    for character, escaped in _MARKDOWN.items():
        text = text.replace(character, escaped)
    return text


def escape_latex(text: str) -> str:
    """Text on one line, in which nothing is a command."""
    return " ".join(text.split()).translate(_LATEX)


def escape_csv(value: object) -> object:
    """A value that no program takes for a formula: text that begins like one gets an apostrophe."""
    is_formula = isinstance(value, str) and value.startswith(_FORMULA) and len(value) > 1
    return f"'{value}" if is_formula else value


def render_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, as lines; cells are Markdown themselves."""
    head, *body = (f"| {' | '.join(row)} |" for row in (headings, *rows))
    return "\n".join([head, "|" + " --- |" * len(headings), *body])
