"""Calibrations of the paired tier on record, and the page that shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.records.environment import Environment
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

| planted | load | seconds each | comparisons | verdicts | wrong | share [99 %] | allowed | commit |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def append_calibration(path: Path, found: Calibration) -> None:
    """Add a line of JSON with every comparison."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = asdict(found) | {"environment": found.environment.model_dump(mode="json")}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(fields) + "\n")


def read_calibrations(path: Path) -> list[dict[str, Any]]:
    """Every recorded calibration; of the same settings and environment the newest alone.

    Raises:
        ValueError: when there is none.
    """
    if not path.exists():
        raise ValueError(f"no calibration is on record in {path}; run without --from-records")
    newest = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        key = Environment(**fields["environment"]).key
        newest[key, fields["planted"], fields["load"]] = fields
    return list(newest.values())


def render_calibrations(calibrations: Sequence[dict[str, Any]]) -> str:
    """A page with a row per calibration, and the environments they were made in."""
    lines = [_TEXT + "\n".join(map(_row, calibrations)), ""]
    environments = {
        environment.key: environment.describe()
        for environment in (Environment(**fields["environment"]) for fields in calibrations)
    }
    lines += [f"Measured on: {text}\n" for text in environments.values()]
    command = "python -m benchmarks.regress calibrate --from-records"
    return "\n".join([*lines, f"Regenerate from the records: `{command}`", ""])


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


def _row(fields: dict[str, Any]) -> str:
    planted, comparisons = fields["planted"], fields["comparisons"]
    rate, low, high = fields["wrong_rate"]
    verdicts = ", ".join(f"{label} {count}" for label, count in sorted(fields["verdicts"].items()))
    cells = (
        f"{planted:.0%}" if planted else "nothing",
        "one core on and off" if fields["load"] else "none",
        f"{fields['budget_s']:g}",
        str(comparisons),
        verdicts,
        str(fields["wrong"]),
        f"{rate:.1%} [{low:.1%}, {high:.1%}]",
        str(allowed_errors(comparisons, planted)),
        str(fields["environment"]["commit"])[:12],
    )
    return f"| {' | '.join(cells)} |"
