"""Calibrations of the paired tier on record, and the page that shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from benchmarks.cli.markdown import render_table
from benchmarks.regression.calibration import Calibration, allowed_errors
from kgt.files import write_atomically

PAGE = "regression.md"
_TEXT = """\
# How often the paired tier of regression tracking errs

`python -m benchmarks.regress paired` times a base commit and the working tree in alternating
processes. Here the working tree is compared with itself. Without a planted slowdown every FASTER or
SLOWER is false; with one, whatever is not SLOWER was missed. Under load another process keeps one
core busy on and off. Only first measurements count: a gate fails on SLOWER twice, so it errs less
often than this. SAME and UNCLEAR fail no gate.
"""
_HEADINGS = (
    *("planted", "load", "seconds each", "comparisons", "verdicts"),
    *("wrong", "share [99 %]", "allowed", "commit"),
)


def append_calibration(path: Path, found: Calibration) -> None:
    """Add a line of JSON with every comparison."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(to_jsonable_python(found)) + "\n")


def read_calibrations(path: Path) -> list[Calibration]:
    """Every recorded calibration; of the same settings and environment the newest alone.

    Raises:
        ValueError: when there is none.
    """
    if not path.exists():
        raise ValueError(f"no calibration is on record in {path}; run without --from-records")
    newest = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        found = TypeAdapter(Calibration).validate_json(line)
        newest[found.environment.key, found.planted, found.load] = found
    return list(newest.values())


def render_calibrations(calibrations: Sequence[Calibration]) -> str:
    """A page with a row per calibration, and the environments they were made in."""
    environments = {found.environment.key: found.environment for found in calibrations}
    command = "python -m benchmarks.regress calibrate --from-records"
    return "\n".join(
        [
            _TEXT,
            render_table(_HEADINGS, map(_row, calibrations)),
            "",
            *(f"Measured on: {where.describe()}\n" for where in environments.values()),
            f"Regenerate from the records: `{command}`",
            "",
        ]
    )


def write_page(records: Path, folder: Path) -> Path:
    """Render the calibrations on record into a page of a folder of reports.

    Raises:
        ValueError: when there is none.
    """
    text = render_calibrations(read_calibrations(records))
    page = folder / PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, text)
    return page


def describe(found: Calibration) -> str:
    """How many comparisons erred, with an interval."""
    rate, low, high = found.wrong_rate
    what = "planted slowdowns missed" if found.planted else "false verdicts"
    return (
        f"{found.wrong} of {found.comparisons} {what}: {rate:.1%}, 99 % interval {low:.1%} to "
        f"{high:.1%} ({_list_verdicts(found)}; {found.elapsed_s:.0f} s)"
    )


def _list_verdicts(found: Calibration) -> str:
    return ", ".join(f"{label} {count}" for label, count in sorted(found.verdicts.items()))


def _row(found: Calibration) -> list[str]:
    rate, low, high = found.wrong_rate
    return [
        f"{found.planted:.0%}" if found.planted else "nothing",
        "one core on and off" if found.load else "none",
        f"{found.budget_s:g}",
        str(found.comparisons),
        _list_verdicts(found),
        str(found.wrong),
        f"{rate:.1%} [{low:.1%}, {high:.1%}]",
        str(allowed_errors(found.comparisons, found.planted)),
        str(found.environment.commit)[:12],
    ]
