"""Write the generated files of docs/: the picture of the method, and the page of all models."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from kgt.cli import Exit, Parser, run

DOCS = Path(__file__).parents[2] / "docs"


def main(arguments: Sequence[str] | None = None) -> Exit:
    """Run the command line and return its exit code."""
    return run(lambda: _write(arguments), "docs")


def _write(arguments: Sequence[str] | None) -> Exit:
    parser = Parser(
        prog="python -m benchmarks.docs",
        description=__doc__,
        examples=("python -m benchmarks.docs", "python -m benchmarks.docs --api build/api"),
    )
    parser.add_argument(
        "--out", type=Path, default=DOCS, metavar="FOLDER", help="where the files go"
    )
    parser.add_argument(
        "--api", type=Path, metavar="FOLDER", help="write the API reference there, as HTML, instead"
    )
    options = parser.parse_args(arguments)
    if options.api:
        from benchmarks.docs.reference import write_reference

        write_reference(options.api)
        print(f"wrote {options.api / 'index.html'}")
        return Exit.FINE

    from benchmarks.docs.method import draw_method
    from benchmarks.docs.zoo import render_models
    from kgt.files import write_atomically

    folder: Path = options.out
    for name, render in {"method.svg": draw_method, "models.md": render_models}.items():
        write_atomically(folder / name, render())
        print(f"wrote {folder / name}")
    return Exit.FINE


if __name__ == "__main__":
    sys.exit(main())
