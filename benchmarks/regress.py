"""Tell whether a change made anything worse: exact values, paired times, and history.

Exit codes: 0 fine, 1 a regression, 2 wrong use or nothing measured, 3 failure of the harness.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from benchmarks.regression import paired
from benchmarks.regression.calibration import allowed_errors, calibrate
from benchmarks.regression.calibration_records import (
    PAGE,
    append_calibration,
    read_calibrations,
    render_calibrations,
)
from benchmarks.regression.comparison import BaseCommitError
from benchmarks.regression.exact import ExactReport, run_exact
from benchmarks.regression.history import (
    MIN_POINTS,
    Series,
    Trend,
    build_series,
    compare_newest,
    find_environment,
    judge_series,
    list_differences,
)
from benchmarks.regression.importing import import_records
from benchmarks.regression.paired import PairedReport
from benchmarks.regression.summary import (
    describe_paired,
    list_blessings,
    render_exact,
    render_paired,
)

FINE, REGRESSION, NOTHING, FAILURE = 0, 1, 2, 3
_ROOT = Path(__file__).resolve().parents[1]
_MAIN_BRANCHES = ("origin/main", "main")
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
    if options.json:
        print(_dump({"note": report.note, **_plain(report)}))
    else:
        _print_exact(report)
    _write_markdown(options.markdown, render_exact(report))
    if not report.judged:
        _console.print("regress: no value could be judged")
        return NOTHING
    return REGRESSION if report.failures else FINE


def _print_exact(report: ExactReport) -> None:
    if report.failures:
        table = _make_table("kind", "value of", "verdict", "change")
        for finding in report.failures:
            table.add_row(finding.kind, finding.name, finding.verdict, finding.detail)
        _stdout().print(table)
    for kind, counts in report.count_verdicts().items():
        print(f"{kind}: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}")
    unknown = [finding for finding in report.findings if finding.verdict == "NOT COMPARABLE"]
    for detail in dict.fromkeys(finding.detail for finding in unknown):
        print(f"not comparable: {detail}")
    for command in list_blessings(report):
        print(f"if the change is meant: {command}")
    _console.print(report.note, markup=False)


def _compare_commits(options: argparse.Namespace) -> int:
    if options.list:
        for name, about in paired.list_benchmarks().items():
            print(f"{name:20} {about}")
        return FINE
    try:
        report = paired.run_paired(
            options.base or find_base(),
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
    if options.json:
        print(_dump({"verdict": verdict, **_plain(report)}))
    else:
        _print_paired(report)
        print(verdict)
    _write_markdown(options.markdown, render_paired(report, verdict))
    return code


def find_base() -> str:
    """The commit where HEAD left the main branch.

    Raises:
        ValueError: outside a checkout, or without a main branch.
    """
    for branch in _MAIN_BRANCHES:
        command = ["git", "-C", str(_ROOT), "merge-base", "HEAD", branch]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return found.stdout.strip()
    raise ValueError(
        f"no commit is shared with {' or '.join(_MAIN_BRANCHES)}; name one with --base COMMIT"
    )


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


def _print_paired(report: PairedReport) -> None:
    table = _make_table("benchmark", "verdict", "head / base", "lo", "hi", "floor", "reason")
    for result in report.results:
        ratio = result.ratio
        numbers = (None,) * 3 if ratio is None else (ratio.value, ratio.lo, ratio.hi)
        cells = ["-" if n is None else f"{n:.4g}" for n in (*numbers, result.floor)]
        reason = result.reason or (result.verdict.reason if result.verdict else "")
        table.add_row(result.name, describe_paired(result), *cells, reason)
    _stdout().print(table)


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
    if options.json:
        print(_dump(_plain(found)))
    else:
        rate, low, high = found.wrong_rate
        what = "planted slowdowns missed" if found.planted else "false verdicts"
        labels = ", ".join(f"{label} {count}" for label, count in found.verdicts.items())
        print(
            f"{found.wrong} of {found.comparisons} {what}: {rate:.1%}, "
            f"99 % interval {low:.1%} to {high:.1%} ({labels}; {found.elapsed_s:.0f} s)"
        )
    allowed = allowed_errors(found.comparisons, found.planted)
    return REGRESSION if found.wrong > allowed else FINE


def _report_history(options: argparse.Namespace) -> int:
    files = options.files or sorted((_ROOT / "results" / "records").glob("*.jsonl"))
    if options.compare or options.side_by_side:
        return _compare_files(files, options)
    trends = [judge_series(series) for series in build_series(import_records(files))]
    if options.json:
        print(_dump([_describe_trend(trend) for trend in trends]))
    else:
        _print_trends(trends)
    return FINE if trends else NOTHING


def _describe_trend(trend: Trend) -> dict[str, Any]:
    series = _plain(trend.series)
    environment = series.pop("environment")
    steps = [{**asdict(step), "ratio": step.ratio} for step in trend.steps]
    key = trend.series.environment.key
    return {
        **series,
        "environment": environment,
        "environment_key": key,
        "verdict": trend.verdict,
        "steps": steps,
    }


def _print_trends(trends: list[Trend]) -> None:
    table = _make_table("series", "metric", "environment", "before", "after", "ratio", "since")
    for trend in trends:
        series = trend.series
        for step in trend.steps:
            commit = (step.first.commit or "no commit")[:12]
            table.add_row(
                *(series.name, f"{series.metric} {series.unit}", series.environment.key),
                *(f"{step.before:.4g}", f"{step.after:.4g}", f"{step.ratio:.3f}"),
                f"{commit} {step.first.timestamp}",
            )
    if table.row_count:
        _stdout().print(table)
    counts = Counter(trend.verdict for trend in trends)
    print(
        f"{len(trends)} series: {counts['STEPS']} with steps, {counts['STEADY']} steady, "
        f"{counts['TOO SHORT']} too short to judge (fewer than {MIN_POINTS} points)"
    )


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
    _print_rows(old, new, options)
    return FINE


def _print_rows(old: list[Series], new: list[Series], options: argparse.Namespace) -> None:
    """Print the newest values of two files; ratios only where they were asked for."""
    rows = [
        {**asdict(row), **({"ratio": row.ratio} if options.compare else {})}
        for row in compare_newest(old, new)
    ]
    if options.json:
        print(_dump(rows))
        return
    table = _make_table(*rows[0])
    for row in rows:
        cells = (f"{v:.4g}" if isinstance(v, float) else str(v or "-") for v in row.values())
        table.add_row(*cells)
    _stdout().print(table)
    if options.compare:
        print("runs of different times share no rounds: `regress paired` gives a verdict")


def _announce(status: Any, about: str) -> None:
    status.update(about)
    if not _console.is_terminal:
        _console.print(about, markup=False)


def _write_markdown(target: str | None, text: str) -> None:
    if target == "-":
        print(text)
    elif target:
        Path(target).write_text(text, encoding="utf-8")


def _make_table(*headings: str) -> Table:
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _stdout() -> Console:
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=160)


def _plain(value: Any) -> Any:
    """Dataclasses and models, nested, as what JSON can hold."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value):
        return {name: _plain(part) for name, part in vars(value).items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _dump(value: Any) -> str:
    return json.dumps(value, indent=1)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "exact": _check_exact,
    "paired": _compare_commits,
    "calibrate": _calibrate,
    "history": _report_history,
}


if __name__ == "__main__":
    sys.exit(main())
