"""Pages for people who measure nothing: a site of everything that the records hold.

Exit codes: 0 fine, 2 wrong use or no records, 3 the site could not be written.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from kgt.cli import Exit, Parser, run, say


def _build_parser() -> Parser:
    parser = Parser(
        prog="python -m benchmarks.report",
        description=__doc__,
        examples=(
            "python -m benchmarks.report site",
            "python -m benchmarks.report site --out /tmp/site",
        ),
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    site = commands.add_parser(
        "site",
        help="write the site",
        description="Write a static site from the records, which opens from its files.",
    )
    site.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="folder of records"
    )
    site.add_argument(
        "--out",
        type=Path,
        default=Path("site"),
        metavar="DIR",
        help="folder of the site, which is replaced as a whole",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> Exit:
    """Run the command line and return its exit code."""
    return run(lambda: _write(arguments), "report")


def _write(arguments: Sequence[str] | None) -> Exit:
    options = _build_parser().parse_args(arguments)
    from benchmarks.report.site.build import build_site

    site = build_site(options.results)
    site.write(options.out)
    size = f"{len(site.files):,} files, {site.size / 1e6:.1f} MB"
    say("report", f"wrote {options.out}/index.html: {size}")
    return Exit.FINE


if __name__ == "__main__":
    sys.exit(main())
