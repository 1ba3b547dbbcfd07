"""Files that others may have written, read into a form, or refused in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from kgt.errors import quote

T = TypeVar("T")

_MOST_BYTES = {".yaml": 2**20, ".json": 2**26, ".jsonl": 2**30}
_MOST_FAULTS = 5
# Of a value that may be of several forms, pydantic names the one that it tried, as if it were a
# field; ours are the types of cells and of folders.
_FORM = re.compile(
    r"\w+Cell|\w+Folder|int|float|str|constrained-\w+|(tuple|list|dict|literal|function-\w+)\[.*"
)
_EXTRA = ("extra_forbidden", "unexpected_keyword_argument")
_INNER, _WANTED = re.compile("^Value error, | or instance of \\w+"), "Input should be "


class _Loader(yaml.SafeLoader):
    """YAML without references: a few lines of them can stand for more than memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("*references are not read here")
        return super().compose_node(parent, index)


def read_bytes(path: Path) -> bytes:
    """The content of a file that is not too large for its kind.

    Raises:
        ValueError: it is too large.
        OSError: it cannot be read.
    """
    size, most = path.stat().st_size, _MOST_BYTES[path.suffix.replace("yml", "yaml")]
    if size > most:
        raise ValueError(f"{path} has {size:,} bytes, at most {most:,} are read")
    return path.read_bytes()


def read_yaml(path: Path) -> dict[str, Any]:
    """Fields and values of a YAML file.

    Raises:
        ValueError: naming the file, and why it is no mapping in YAML.
    """
    try:
        content = yaml.load(read_bytes(path), _Loader)
    # PyYAML fails on a wrong value with whatever its place in there raises.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} cannot be read as YAML: {reason[:300]}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no mapping of fields to values")
    return content


def read_json(path: Path, form: type[T]) -> T:
    """The value in a file of JSON.

    Raises:
        ValueError: naming the file, and what in it is not of the form.
        OSError: it cannot be read.
    """
    return parse_json(read_bytes(path), form, str(path))


def parse_json(text: bytes, form: type[T], where: str) -> T:
    """A value in JSON, from a place that an error names; errors as `read_json`."""
    try:
        return TypeAdapter(form).validate_json(text)
    except ValidationError as error:
        raise ValueError(f"{where}: {describe_faults(error)}") from error


def describe_faults(error: ValidationError, fields: str = "") -> str:
    """Where and how a value is not of its form, as one line.

    Args:
        error: as pydantic raises it.
        fields: the fields that there are.
    """
    faults: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for fault in error.errors(include_url=False):
        faults.setdefault(_find_place(fault), []).append(fault)
    # What is wrong with a part says more than that the whole, without it, is wrong.
    wholes = {place[:length] for place in faults for length in range(len(place))}
    parts = [place for place in faults if place not in wholes]
    lines, extra = [], []
    for place in parts[:_MOST_FAULTS]:
        field = quote(".".join(place))[1:-1]
        if faults[place][0]["type"] in _EXTRA:
            extra.append(field)
        else:
            message = _describe_fault(faults[place])
            lines.append(f"{field}: {message}" if field else message)
    if extra:
        outermost = not any("." in field for field in extra)
        valid = f" (valid: {fields})" if fields and outermost else ""
        lines.append(f"{', '.join(extra)}: no such field{valid}")
    others = len(parts) - _MOST_FAULTS
    return "; ".join([*lines, *([f"and {others:,} more"] if others > 0 else [])])


def _find_place(fault: ErrorDetails) -> tuple[str, ...]:
    """The names of the fields from the outermost one to that of a fault."""
    *outer, last = [*map(str, fault["loc"])] or [""]
    is_field = fault["type"] in ("missing", *_EXTRA) or not _FORM.fullmatch(last)
    return (*(part for part in outer if not _FORM.fullmatch(part)), *[last] * is_field)


def _describe_fault(faults: list[ErrorDetails]) -> str:
    """What is wrong in one place, which may be of one of several forms."""
    messages = dict.fromkeys(
        _INNER.sub("", fault["msg"]).replace("tuple", "list") for fault in faults
    )
    first, *others = messages
    message = " or ".join([first, *(other.removeprefix(_WANTED) for other in others)])
    if faults[0]["type"] in ("missing", "value_error"):
        return message
    return f"{message}, got {quote(faults[0]['input'])}"
