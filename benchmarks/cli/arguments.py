"""Arguments that several commands of the harness take."""

from __future__ import annotations

import argparse
from pathlib import Path

from kgt.cli import positive

DESCRIPTION = "a name of kgt or baselines list_models(), or NAME:field=value:field=value"


def names(text: str) -> list[str]:
    """The argument type of a comma list of names."""
    return [part.strip() for part in text.split(",")]


def numbers(text: str) -> list[int]:
    """The argument type of a comma list of whole numbers from 1."""
    return [positive(part) for part in names(text)]


def size(text: str) -> tuple[int, int]:
    """The argument type of HEIGHTxWIDTH in pixels."""
    height, _, width = text.partition("x")
    try:
        return positive(height), positive(width)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not two numbers of pixels, HEIGHTxWIDTH, e.g. 96x128"
        ) from error


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add --results and --reports, in the current folder unless named."""
    for name in ("results", "reports"):
        parser.add_argument(
            f"--{name}", type=Path, default=Path(name), metavar="DIR", help="default: %(default)s"
        )
