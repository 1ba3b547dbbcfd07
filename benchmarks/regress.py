"""Find out whether a change made anything worse: exact values, paired times, and history.

Exit codes: 0 fine, 1 a regression, 2 wrong use or nothing measured, 3 failure of the harness.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.regression import paired
from benchmarks.regression.calibration import allowed_errors, calibrate
from benchmarks.regression.calibration_records import (
    PAGE,
    append_calibration,
    read_calibrations,
    render_calibrations,
)
from benchmarks.regression.comparison import BaseCommitError
from benchmarks.regression.exact import run_exact
from benchmarks.regression.history import (
    build_series,
    find_environment,
    judge_series,
    list_differences,
)
from benchmarks.regression.importing import import_records
from benchmarks.regression.paired import ROOT, PairedReport
from benchmarks.regression.printing import (
    print_calibration,
    print_exact,
    print_newest,
    print_paired,
    print_trends,
)
from benchmarks.regression.summary import render_exact, render_paired
from benchmarks.regression.worktree import find_base

FINE, REGRESSION, NOTHING, FAILURE = 0, 1, 2, 3
_console = Console(stderr=True, highlight=False, soft_wrap=True)


def build_parser() -> argparse.ArgumentParser:
    """The command line of all subcommands."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.regress",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    printed = argparse.ArgumentParser(add_help=False)
    printed.add_argument("--json", action="store_true", help="print one JSON object")
    gate = argparse.ArgumentParser(add_help=False, parents=[printed])
    gate.add_argument(
        "--markdown", metavar="FILE", help="write a summary for a pull request; - prints it"
    )

    exact = commands.add_parser(
        "exact",
        parents=[gate],
        help="compare counts, digests and golden values with the blessed ones; under a minute",
    )
    exact.add_argument("--bless", metavar="REASON", help="make today's values the blessed ones")

    compared = commands.add_parser(
        "paired", parents=[gate], help="time a base commit and this one in alternating processes"
    )
    compared.add_argument("--base", metavar="COMMIT", help="default: where HEAD left main")
    compared.add_argument("--benchmarks", type=_names, metavar="NAMES", help="a comma list")
    compared.add_argument(
        "--budget", type=float, default=paired.BUDGET_S, help="seconds per benchmark"
    )
    compared.add_argument(
        "--threshold", type=float, default=0.02, help="smallest relative difference that matters"
    )
    compared.add_argument("--timeout", type=float, default=300.0, help="seconds for one answer")
    compared.add_argument(
        "--changed-outputs",
        type=_names,
        default=[],
        metavar="NAMES",
        help="benchmarks whose output is meant to differ from the base's",
    )
    compared.add_argument("--list", action="store_true", help="list the benchmarks, run none")

    calibrated = commands.add_parser(
        "calibrate", parents=[printed], help="how often the paired tier errs on this machine"
    )
    calibrated.add_argument("--comparisons", type=int, default=100)
    calibrated.add_argument(
        "--load", action="store_true", help="keep one core busy on and off at random"
    )
    calibrated.add_argument(
        "--planted", type=float, default=0.0, help="slow the head down by this share, e.g. 0.05"
    )
    calibrated.add_argument(
        "--budget", type=float, default=paired.BUDGET_S, help="seconds per comparison"
    )
    calibrated.add_argument(
        "--threshold", type=float, default=0.02, help="smallest difference that matters"
    )
    calibrated.add_argument(
        "--from-records", action="store_true", help="render the page only, measure nothing"
    )
    calibrated.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    calibrated.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR")

    history = commands.add_parser(
        "history", parents=[printed], help="series of records over time and their steps; no gate"
    )
    history.add_argument(
        "files",
        type=Path,
        nargs="*",
        metavar="FILE",
        help="*.jsonl of records, *.json of pytest-benchmark (default: results/records)",
    )
    two = history.add_mutually_exclusive_group()
    two.add_argument(
        "--compare", action="store_true", help="ratios of two files of one environment"
    )
    two.add_argument(
        "--side-by-side", action="store_true", help="two files of any environments, no ratios"
    )
    return parser


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = build_parser().parse_args(arguments)
    try:
        if options.json and getattr(options, "markdown", None) == "-":
            raise ValueError("--json and --markdown - would both print; give --markdown a file")
        return _COMMANDS[options.command](options)
    except ValueError as error:
        _console.print(f"regress: {error}", markup=False)
        return NOTHING
    except KeyboardInterrupt:
        _console.print("regress: interrupted")
    except Exception:
        traceback.print_exc()
    return FAILURE


def _check_exact(options: argparse.Namespace) -> int:
    with _console.status("starting") as status:
        report = run_exact(options.bless, lambda about: _announce(status, about))
    print_exact(report, options.json)
    if not options.json:
        _console.print(report.note, markup=False)
    _write_markdown(options.markdown, render_exact(report))
    if not report.judged:
        _console.print("regress: no value could be judged")
        return NOTHING
    return REGRESSION if report.failures else FINE


def _compare_commits(options: argparse.Namespace) -> int:
    if options.list:
        for name, about in paired.list_benchmarks().items():
            print(f"{name:20} {about}")
        return FINE
    try:
        report = paired.run_paired(
            options.base or find_base(ROOT),
            names=options.benchmarks,
            budget_s=options.budget,
            threshold=options.threshold,
            timeout_s=options.timeout,
            on_event=lambda event: _console.print(event, markup=False),
            changed_outputs=options.changed_outputs,
        )
    except BaseCommitError as error:
        _console.print(f"regress: {error}", markup=False)
        return FAILURE
    code, verdict = judge_paired(report)
    print_paired(report, verdict, options.json)
    _write_markdown(options.markdown, render_paired(report, verdict))
    return code


def judge_paired(report: PairedReport) -> tuple[int, str]:
    """Exit code and verdict; what is surely worse is not hidden by what failed beside it."""
    results = report.results
    worse = [
        result.name
        for result in results
        if result.status == "wrong-output"
        or (result.verdict and result.verdict.label == "SLOWER" and result.confirmed)
    ]
    failed = [result.name for result in results if result.status in ("failed", "timeout")]
    if worse:
        return REGRESSION, f"regression in {', '.join(worse)}"
    if failed:
        return FAILURE, f"could not measure {', '.join(failed)}"
    if not results:
        return NOTHING, "nothing was measured"
    return FINE, f"no regression in {len(results)} benchmarks"


def _calibrate(options: argparse.Namespace) -> int:
    """Exit code 1 means more errors than the tier may make, see `allowed_errors`."""
    records = options.results / "calibration.jsonl"
    found = None
    if not options.from_records:
        with _console.status("calibrating") as status:
            found = calibrate(
                options.comparisons,
                load=options.load,
                planted=options.planted,
                budget_s=options.budget,
                threshold=options.threshold,
                on_event=lambda about: _announce(status, about),
            )
        append_calibration(records, found)
    page = options.reports / PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render_calibrations(read_calibrations(records)), encoding="utf-8")
    _console.print(f"wrote {page}")
    if found is None:
        return FINE
    print_calibration(found, options.json)
    allowed = allowed_errors(found.comparisons, found.planted)
    return REGRESSION if found.wrong > allowed else FINE


def _report_history(options: argparse.Namespace) -> int:
    files = options.files or sorted((ROOT / "results" / "records").glob("*.jsonl"))
    if options.compare or options.side_by_side:
        return _compare_files(files, options)
    trends = [judge_series(series) for series in build_series(import_records(files))]
    print_trends(trends, options.json)
    return FINE if trends else NOTHING


def _compare_files(files: list[Path], options: argparse.Namespace) -> int:
    if len(files) != 2:
        raise ValueError(f"two files are compared, the older first; got {len(files)}")
    old, new = (build_series(import_records([file])) for file in files)
    environments = find_environment(old), find_environment(new)
    if options.compare and environments[0].key != environments[1].key:
        raise ValueError(
            "times of different environments are not compared; different here: "
            f"{'; '.join(list_differences(*environments))}. --side-by-side prints both, no ratio"
        )
    print_newest(old, new, with_ratios=options.compare, as_json=options.json)
    return FINE


def _announce(status: Any, about: str) -> None:
    status.update(about)
    if not _console.is_terminal:
        _console.print(about, markup=False)


def _write_markdown(target: str | None, text: str) -> None:
    if target == "-":
        print(text)
    elif target:
        Path(target).write_text(text, encoding="utf-8")


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "exact": _check_exact,
    "paired": _compare_commits,
    "calibrate": _calibrate,
    "history": _report_history,
}


if __name__ == "__main__":
    sys.exit(main())
