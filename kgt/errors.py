"""Errors that people read: unknown names, and known ways to fail."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class Failure(RuntimeError):  # noqa: N818  (states what happened)
    """A known way to fail, which needs no traceback: the message says everything."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> ValueError:
    """The error of an unknown name, which lists the valid ones, those that are nearest first.

    Args:
        kind: what has the name, e.g. "model".
        name: the name that is not known.
        valid: the names that are.
    """
    names = list(valid)
    ordered = dict.fromkeys([*get_close_matches(name, names), *names])
    return ValueError(f"unknown {kind} {name!r}; valid: {', '.join(ordered)}")
