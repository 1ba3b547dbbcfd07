"""Errors that people read: unknown names, and known ways to fail."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class Failure(RuntimeError):  # noqa: N818  (states what happened)
    """A known way to fail, which needs no traceback: the message says everything."""


_LONGEST = 200


def quote(value: object) -> str:
    """A value as it stands in a message: as Python writes it, at most 200 characters of it."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text):,} characters)"


def unknown(kind: str, name: str, valid: Iterable[str]) -> ValueError:
    """The error of an unknown name, which lists the valid ones, those that are nearest first.

    Args:
        kind: what has the name, e.g. "model".
        name: the name that is not known.
        valid: the names that are.
    """
    names = list(valid)
    ordered = dict.fromkeys([*get_close_matches(name[:_LONGEST], names), *names])
    return ValueError(f"unknown {kind} {quote(name)}; valid: {', '.join(ordered)}")
