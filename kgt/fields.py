"""Values of a network's fields, as people give them: of the right kind and size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from kgt.errors import quote

if TYPE_CHECKING:
    from torch import nn

MOST_BYTES = 2**31
_MOST, _MOST_TOGETHER = 2**16, 2**10
# The largest values of fields that have a scale of their own: the noise level is of 8-bit images.
_SCALES = {"sigma": 255}


def convert(name: str, value: Any, like: Any) -> Any:
    """A value of the kind of another one; a whole number serves as a float, a list as a tuple.

    Args:
        name: the field; "sigma" is a noise level in 0..255 wherever it stands.
        value: what is given.
        like: a value of the right kind; of a tuple, the first element says of what.

    Raises:
        ValueError: for another kind, a negative number, or one that is too large.
    """
    most = _SCALES.get(name, _MOST)
    if name in _SCALES and like is not None:
        like = float(most)
    if isinstance(like, tuple):
        if isinstance(value, list | tuple):
            element = like[0] if like else 1
            values = tuple(convert(name, part, element) for part in value)
            if sum(values) <= _MOST_TOGETHER:
                return values
        wanted = f"a list of numbers that sum up to {_MOST_TOGETHER:,} at most"
    elif isinstance(like, bool):
        if isinstance(value, bool):
            return value
        wanted = "true or false"
    elif isinstance(like, int):
        if type(value) is int and 0 <= value <= _MOST:
            return value
        wanted = f"a whole number from 0 to {_MOST:,}"
    elif isinstance(like, float):
        if type(value) in (int, float) and 0 <= value <= most and math.isfinite(value):
            return float(value)
        wanted = f"a finite number from 0 to {most:,}"
    else:
        if isinstance(value, type(like)):
            return value
        wanted = "a word"
    raise ValueError(f"{name} = {quote(value)}: {wanted} is expected")


def convert_all(config: Any, positive: Iterable[str]) -> None:
    """Convert every field of a frozen dataclass to the kind of its default, None to a number.

    Args:
        config: the dataclass.
        positive: fields that are more than 0.

    Raises:
        ValueError: as `convert`, or for a field that is not more than 0.
    """
    for field in fields(config):
        value, like = getattr(config, field.name), field.default
        if value is not None or like is not None:
            like = 1 if like is None else like
            object.__setattr__(config, field.name, convert(field.name, value, like))
    for name in positive:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} = {getattr(config, name)}; it is more than 0")


def check_size(build: Callable[[], nn.Module], name: str) -> None:
    """Build a network without its memory first, to see how much that is.

    Raises:
        ValueError: it is more than `MOST_BYTES`.
    """
    import torch

    try:
        with torch.device("meta"):
            network = build()
    # Some of others' networks compute with what they make, which needs memory.
    except (RuntimeError, TypeError, ValueError):
        return
    tensors = (*network.parameters(), *network.buffers())
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if size > MOST_BYTES:
        raise ValueError(
            f"{name} would take {size:,} bytes with these fields, at most {MOST_BYTES:,} are "
            "taken; choose smaller ones"
        )
