"""Arguments of commands that restore in tiles."""

from __future__ import annotations

import argparse

from kgt.cli import positive
from kgt.tiles import BYTE_BUDGET


def tile(text: str) -> int | str | None:
    """The argument type of the side of tiles: "auto", pixels, or "whole", which becomes None."""
    if text == "auto":
        return text
    if text == "whole":
        return None
    try:
        return positive(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, nor auto or whole") from error


def add_tiles(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --tile and --byte-budget, in MiB."""
    parser.add_argument(
        "--tile",
        type=tile,
        default=default,
        metavar="auto|N|whole",
        help="side of the tiles in pixels",
    )
    parser.add_argument(
        "--byte-budget",
        type=positive,
        default=BYTE_BUDGET // 2**20,
        metavar="MIB",
        help="memory of --tile auto besides the pictures",
    )
