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
from pathlib import Path
from typing import Any

from kgt.cli import Exit, Parser, run, say, show_progress


def main(arguments: Sequence[str] | None = None) -> Exit:
    """Run the command line and return its exit code."""
    return run(lambda: _examine(_build_parser().parse_args(arguments)), "doctor")


def _examine(options: argparse.Namespace) -> Exit:
    if options.command == "fetch":
        return _fetch(options.file)
    return _COMMANDS[options.command](options.json)


def _build_parser() -> Parser:
    parser = Parser(
        prog="python -m benchmarks.doctor",
        description=__doc__,
        examples=(
            "python -m benchmarks.doctor",
            "python -m benchmarks.doctor golden",
            "python -m benchmarks.doctor data --json",
        ),
    )
    commands = parser.add_subparsers(dest="command")
    for name, about in {
        "machine": "grade this machine as quiet, usable or unfit (also done without a command)",
        "golden": "measure published values that need no network",
        "data": "say which image sets are here, and whether they are the published ones",
        "features": "keep features of the test sets that are here, so that training sets can be "
        "searched where they are not; for those who change the manifest",
    }.items():
        typed = f"python -m benchmarks.doctor {name} --json"
        command = commands.add_parser(name, help=about, description=about, examples=[typed])
        _add_json(command, default=argparse.SUPPRESS)
    about = "fetch the weights of AlexNet, which LPIPS compares images by"
    fetch = commands.add_parser(
        "fetch",
        help=about,
        description=f"{about[0].upper()}{about[1:]}, from where torchvision publishes them, and "
        "check them. Their size is said first.",
        examples=[
            "python -m benchmarks.doctor fetch lpips",
            "python -m benchmarks.doctor fetch lpips --file alexnet-owt-7be5be79.pth",
        ],
    )
    fetch.add_argument("what", choices=["lpips"], help="whose weights")
    fetch.add_argument(
        "--file", type=Path, metavar="FILE", help="take this copy of them; no network is needed"
    )
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


def _fetch(file: Path | None) -> Exit:
    from benchmarks.tasks.perceptual import backbone

    path = backbone().take(file) if file else backbone().fetch()
    say("doctor", f"{path} is complete, and its SHA-256 the published one")
    return Exit.FINE


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
            for leak in split.leaks:
                print(f"{'leak':13} {leak}")
            for twin in split.twins:
                print(f"{'same images':13} {twin}")
        print(", ".join(f"{count} {state}" for state, count in states.items()))
    if states["wrong version"]:
        return Exit.FELL_SHORT
    return Exit.FINE if states["complete"] + states["partial"] else Exit.WRONG_USE


def _write_features(as_json: bool) -> Exit:
    from benchmarks.data.features import FEATURES_FILE
    from benchmarks.data.survey import write_features

    with show_progress("doctor") as report:
        written = write_features(report)
    if as_json:
        print(json.dumps([{"set": name, "images": images} for name, images in written]))
    else:
        for name, images in written:
            print(f"{name}: {images} images")
        print(f"written to {FEATURES_FILE}")
    return Exit.FINE if written else Exit.WRONG_USE


_COMMANDS: dict[str, Callable[[bool], Exit]] = {
    "machine": _check_machine,
    "golden": _check_golden,
    "data": _survey_data,
    "features": _write_features,
}


if __name__ == "__main__":
    sys.exit(main())
