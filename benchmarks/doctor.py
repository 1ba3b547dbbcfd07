"""Check that the machine can measure, and that the harness measures what others measure.

Without a command the machine is graded: quiet (verdicts at 2 % are possible), usable (at 5 %), or
unfit for measuring, with what to do about each finding. That takes less than 30 seconds, besides
compiling the native operators, which is done once.

Exit codes: 0 fine, 1 the machine is unfit, a value differs or a set is not what it is called,
2 wrong use or nothing to check, 3 failure.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import count
from typing import Any

from kgt.cli import Exit, run, show_progress


def main(arguments: Sequence[str] | None = None) -> Exit:
    """Run the command line and return its exit code."""
    return run(lambda: _examine(_build_parser().parse_args(arguments)), "doctor")


def _examine(options: argparse.Namespace) -> Exit:
    return _COMMANDS[options.command](options.json)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.doctor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command")
    for name, about in {
        "machine": "grade this machine as quiet, usable or unfit (also done without a command)",
        "golden": "measure published values that need no network",
        "data": "say which image sets are here, and whether they are the published ones",
    }.items():
        command = commands.add_parser(name, help=about, description=about)
        _add_json(command, default=argparse.SUPPRESS)
    _add_json(parser, default=False)
    parser.set_defaults(command="machine")
    return parser


def _add_json(parser: argparse.ArgumentParser, default: Any) -> None:
    """Add --json, which may stand before the command or behind it."""
    parser.add_argument(
        "--json",
        action="store_true",
        default=default,
        help="print JSON: one object of the machine, a list of everything else",
    )


def _check_machine(as_json: bool) -> Exit:
    from benchmarks.cli.terminal import print_table
    from benchmarks.measure.checks import check_machine
    from benchmarks.measure.machine import worst_grade

    start = time.perf_counter()
    with show_progress("doctor", 1) as report:
        findings = check_machine(report)
    grade = worst_grade(findings)
    seconds = time.perf_counter() - start
    if as_json:
        listed = [asdict(finding) for finding in findings]
        print(json.dumps({"grade": grade, "seconds": round(seconds, 1), "findings": listed}))
    else:
        print_table(
            ("check", "grade", "found", "what to do"),
            [(finding.check, finding.grade, finding.value, finding.advice) for finding in findings],
        )
        print(f"{grade} for measuring; checked in {seconds:.0f} s")
    return Exit.FELL_SHORT if grade == "unfit" else Exit.FINE


def _check_golden(as_json: bool) -> Exit:
    from benchmarks.quality.golden import Golden, check_golden, list_golden
    from benchmarks.report.scores import print_golden

    values, done = list_golden(), count()

    def show(golden: Golden) -> None:
        report(f"{golden.task} {golden.dataset} {golden.column}", next(done))

    with show_progress("doctor", len(values)) as report:
        findings = check_golden(values, show)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        print_golden(findings)
    verdicts = Counter(finding.verdict for finding in findings)
    if verdicts["DIFFERS"]:
        return Exit.FELL_SHORT
    return Exit.FINE if verdicts["HOLDS"] else Exit.WRONG_USE


def _survey_data(as_json: bool) -> Exit:
    from benchmarks.data.survey import survey

    with show_progress("doctor") as report:
        found = survey(report)
    states = Counter(split.state for split in found)
    if as_json:
        print(json.dumps([asdict(split) for split in found]))
    else:
        for split in found:
            print(
                f"{split.state:13} {split.name}/{split.split}: {split.images} of "
                f"{split.expected}; {split.detail} [{split.source}]"
            )
        print(", ".join(f"{count} {state}" for state, count in states.items()))
    if states["wrong version"]:
        return Exit.FELL_SHORT
    return Exit.FINE if states["complete"] + states["partial"] else Exit.WRONG_USE


_COMMANDS: dict[str, Callable[[bool], Exit]] = {
    "machine": _check_machine,
    "golden": _check_golden,
    "data": _survey_data,
}


if __name__ == "__main__":
    sys.exit(main())
