"""The command line `kgt`: one module for each of its commands, with `add` and what it calls.

The commands take all models by name, so this folder may import `baselines`, and nothing imports
it but `kgt.__main__`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kgt import __version__
from kgt.cli import Exit, Parser, run
from kgt.command import catalog, export, restore

_ABOUT = """\
The Key-Graph Transformer: restore pictures, and look at the models there are.

`kgt` and `python -m kgt` are the same. Exit codes: 0 when everything was done, 2 on wrong use, 3 on
failure.
"""


def main(arguments: Sequence[str] | None = None) -> Exit:
    """Run the command line and return its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    # Known before anything is parsed: it stands before every message.
    name = next((word for word in words if not word.startswith("-")), "kgt")
    kept = "the pictures that are complete are kept" if name == "restore" else ""
    return run(lambda: _run(words), name, kept)


def _run(words: Sequence[str]) -> Exit:
    parser = Parser(
        prog="kgt",
        description=_ABOUT,
        examples=(
            "kgt restore photo.jpg -o restored.png --task denoise-color",
            "kgt export kgt-tiny-x4 -o x4.onnx",
            "kgt list --pretrained",
            "kgt info kgt-tiny-x4",
        ),
    )
    parser.add_argument("--version", action="version", version=f"kgt {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for module in (restore, export, catalog):
        module.add(commands)
    options = parser.parse_args(words)
    code: Exit = options.run(options)
    return code
