"""Find out whether a change made anything worse: exact values, paired times, and history.

Exit codes: 0 fine, 1 a regression, 2 wrong use or nothing measured, 3 failure of the harness.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.arguments import add_folders, names, seconds, share
from kgt.cli import Exit, Parser, add_json, positive, run, say, show_progress
from kgt.files import write_atomically

if TYPE_CHECKING:
    from benchmarks.regression.summary import Summary

# Calibrated: enough to see 5 % on a quiet machine of two cores, see the command calibrate.
_BUDGET_S = 10.0
_RECORDS = Path("results/records")


def build_parser() -> Parser:
    """The command line of all subcommands."""
    parser = Parser(
        prog="python -m benchmarks.regress",
        description=__doc__,
        examples=("python -m benchmarks.regress exact", "python -m benchmarks.regress paired"),
    )
    commands = parser.add_subparsers(dest="command", required=True)
    printed = Parser(add_help=False)
    add_json(printed)
    gate = Parser(add_help=False, parents=[printed])
    gate.add_argument(
        "--markdown", metavar="FILE", help="write a summary for a pull request; - prints it"
    )

    exact = commands.add_parser(
        "exact",
        parents=[gate],
        help="compare counts, digests and golden values with the blessed ones; under a minute",
        examples=(
            "python -m benchmarks.regress exact",
            "python -m benchmarks.regress exact --bless 'a new task'",
        ),
    )
    exact.add_argument("--bless", metavar="REASON", help="make today's values the blessed ones")

    compared = commands.add_parser(
        "paired",
        parents=[gate],
        help="time a base commit and this one in alternating processes",
        examples=(
            "python -m benchmarks.regress paired --base HEAD~1 --benchmarks graph --budget 40",
        ),
    )
    compared.add_argument("--base", metavar="COMMIT", help="default: where HEAD left main")
    compared.add_argument(
        "--benchmarks", type=names, metavar="NAMES", help="a comma list; default: all"
    )
    compared.add_argument(
        "--budget", type=seconds, default=_BUDGET_S, help="seconds of rounds per benchmark"
    )
    compared.add_argument(
        "--threshold", type=share, default=0.02, help="smallest difference that matters, a share"
    )
    compared.add_argument("--timeout", type=seconds, default=300.0, help="seconds for one answer")
    compared.add_argument(
        "--changed-outputs",
        type=names,
        default=[],
        metavar="NAMES",
        help="benchmarks whose output is meant to differ from the base's",
    )
    compared.add_argument("--list", action="store_true", help="list the benchmarks, run none")

    calibrated = commands.add_parser(
        "calibrate",
        parents=[printed],
        help="how often the paired tier errs on this machine",
        examples=("python -m benchmarks.regress calibrate --planted 0.05",),
    )
    calibrated.add_argument(
        "--comparisons",
        type=positive,
        default=100,
        help="how many, of all benchmarks in turn",
    )
    calibrated.add_argument(
        "--load", action="store_true", help="keep one core busy on and off at random"
    )
    calibrated.add_argument(
        "--planted", type=share, default=0.0, help="slow the head down by this share"
    )
    calibrated.add_argument(
        "--budget", type=seconds, default=_BUDGET_S, help="seconds of rounds per comparison"
    )
    calibrated.add_argument(
        "--threshold", type=share, default=0.02, help="smallest difference that matters, a share"
    )
    calibrated.add_argument(
        "--from-records", action="store_true", help="render the page only, measure nothing"
    )
    add_folders(calibrated)

    history = commands.add_parser(
        "history",
        parents=[printed],
        help="series of records over time and their steps; no gate",
        examples=(
            "python -m benchmarks.regress history",
            "python -m benchmarks.regress history before.jsonl after.jsonl --compare",
        ),
    )
    history.add_argument(
        "files",
        type=Path,
        nargs="*",
        metavar="FILE",
        help=f"*.jsonl of records, *.json of pytest-benchmark (default: all of {_RECORDS})",
    )
    two = history.add_mutually_exclusive_group()
    two.add_argument(
        "--compare", action="store_true", help="ratios of two files of one environment"
    )
    two.add_argument(
        "--side-by-side", action="store_true", help="two files of any environments, no ratios"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> Exit:
    """Run the command line and return its exit code."""
    return run(lambda: _regress(build_parser().parse_args(arguments)), "regress")


def _regress(options: argparse.Namespace) -> Exit:
    if options.json and getattr(options, "markdown", None) == "-":
        raise ValueError("--json and --markdown - would both print; give --markdown a file")
    return _COMMANDS[options.command](options)


def _check_exact(options: argparse.Namespace) -> Exit:
    from benchmarks.regression.exact import run_exact
    from benchmarks.regression.summary import summarize_exact

    with show_progress("regress") as report:
        found = run_exact(options.bless, report)
    if not options.json:
        say("regress", found.note)
    _present(summarize_exact(found), found, options)
    if not found.judged:
        say("regress", "no value could be judged")
        return Exit.WRONG_USE
    return Exit.FELL_SHORT if found.failures else Exit.FINE


def _compare_commits(options: argparse.Namespace) -> Exit:
    if options.list:
        from benchmarks.regression.workloads import list_benchmarks

        for name, about in list_benchmarks().items():
            print(f"{name:20} {about}")
        return Exit.FINE
    from benchmarks.regression import paired
    from benchmarks.regression.summary import summarize_paired
    from benchmarks.regression.worktree import find_base

    report = paired.run_paired(
        options.base or find_base(paired.ROOT),
        names=options.benchmarks,
        budget_s=options.budget,
        threshold=options.threshold,
        timeout_s=options.timeout,
        on_event=lambda event: say("regress", event),
        changed_outputs=options.changed_outputs,
    )
    code, verdict = paired.judge(report)
    _present(summarize_paired(report, verdict), {"verdict": verdict, **vars(report)}, options)
    return code


def _calibrate(options: argparse.Namespace) -> Exit:
    """It falls short by more errors than the tier may make, see `allowed_errors`."""
    from benchmarks.regression.calibration import (
        allowed_errors,
        append_calibration,
        calibrate,
        describe,
        write_page,
    )

    records = options.results / "calibration.jsonl"
    found = None
    if not options.from_records:
        with show_progress("regress", options.comparisons) as report:
            found = calibrate(
                options.comparisons,
                load=options.load,
                planted=options.planted,
                budget_s=options.budget,
                threshold=options.threshold,
                on_progress=report,
            )
        append_calibration(records, found)
    say("regress", f"wrote {write_page(records, options.reports)}")
    if found is None:
        return Exit.FINE
    if options.json:
        _print_json(found)
    else:
        print(describe(found))
    allowed = allowed_errors(found.comparisons, found.planted)
    return Exit.FELL_SHORT if found.wrong > allowed else Exit.FINE


def _report_history(options: argparse.Namespace) -> Exit:
    from benchmarks.cli.terminal import print_table
    from benchmarks.regression.history import compare_newest, load_pair, print_trends
    from benchmarks.regression.importing import import_records
    from benchmarks.report.trends import build_series, judge_series

    if options.compare or options.side_by_side:
        pair = load_pair(options.files, comparable=options.compare)
        rows = compare_newest(*pair, with_ratios=options.compare)
        if options.json:
            _print_json(rows)
            return Exit.FINE
        print_table([*rows[0]], [[*row.values()] for row in rows])
        if options.compare:
            print("runs of different times share no rounds: `regress paired` gives a verdict")
        return Exit.FINE
    files = options.files or sorted(_RECORDS.glob("*.jsonl"))
    if not files:
        raise ValueError(f"there are no records in {_RECORDS}; name files")
    trends = [judge_series(series) for series in build_series(import_records(files))]
    if options.json:
        _print_json([{**vars(trend), "environment_key": trend.environment.key} for trend in trends])
    else:
        print_trends(trends)
    return Exit.FINE if trends else Exit.WRONG_USE


def _present(summary: Summary, report: object, options: argparse.Namespace) -> None:
    """Print a report, and write its summary where --markdown asks for it."""
    if options.json:
        _print_json(report)
    else:
        summary.show()
    if options.markdown == "-":
        print(summary.render())
    elif options.markdown:
        write_atomically(Path(options.markdown), summary.render())


def _print_json(value: object) -> None:
    from pydantic_core import to_jsonable_python

    print(json.dumps(to_jsonable_python(value), indent=1))


_COMMANDS: dict[str, Callable[[argparse.Namespace], Exit]] = {
    "exact": _check_exact,
    "paired": _compare_commits,
    "calibrate": _calibrate,
    "history": _report_history,
}


if __name__ == "__main__":
    sys.exit(main())
