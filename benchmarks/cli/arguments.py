"""Arguments that several commands of the harness take."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from kgt.cli import positive
from kgt.errors import quote

DESCRIPTION = "a name of kgt or baselines list_models(), or NAME:field=value:field=value"


def names(text: str) -> list[str]:
    """The argument type of a comma list of names."""
    return [part.strip() for part in text.split(",")]


def numbers(text: str) -> list[int]:
    """The argument type of a comma list of whole numbers from 1."""
    return [positive(part) for part in names(text)]


def seed(text: str) -> int:
    """The argument type of a seed, as torch takes them."""
    if not text.isdecimal() or len(text) > 19 or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a whole number from 0 to 2^63 - 1")
    return int(text)


def seconds(text: str) -> float:
    """The argument type of a time in seconds."""
    value = _read(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a number of seconds above 0")
    return value


def share(text: str) -> float:
    """The argument type of a part of something, from 0 to 1."""
    value = _read(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a share from 0 to 1, e.g. 0.05")
    return value


def _read(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add --results and --reports, in the current folder unless named."""
    for name, what in {"results": "records and checkpoints", "reports": "pages"}.items():
        parser.add_argument(
            f"--{name}", type=Path, default=Path(name), metavar="DIR", help=f"folder of {what}"
        )
