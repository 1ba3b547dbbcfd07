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
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.cli.terminal import print_table
from benchmarks.data.manifest import MANIFEST
from benchmarks.data.survey import Report, survey
from benchmarks.measure import machine, software
from benchmarks.quality.golden import Finding, Golden, check_golden, list_golden
from benchmarks.records.environment import capture_environment
from kgt.attention.native import unavailable_reason

FLOOR_BUDGET_S = 8.0
RESULTS = Path("results")
EXIT_FINE, EXIT_FELL_SHORT, EXIT_NOTHING, EXIT_FAILURE = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _build_parser().parse_args(arguments)
    try:
        return _COMMANDS[options.command](options.json)
    except KeyboardInterrupt:
        print("doctor: interrupted", file=sys.stderr)
    except Exception:
        traceback.print_exc()
    return EXIT_FAILURE


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
    parser.add_argument(
        "--json",
        action="store_true",
        default=default,
        help="print JSON: one object of the machine, a list of everything else",
    )


def _check_machine(as_json: bool) -> int:
    start = time.perf_counter()
    checks = _list_checks()
    findings: list[machine.Finding] = []
    with _progress(len(checks)) as advance:
        for name, check in checks.items():
            advance(name)
            found = check()
            findings += [found] if isinstance(found, machine.Finding) else found
    grade = machine.worst_grade(findings)
    seconds = time.perf_counter() - start
    if as_json:
        listed = [asdict(finding) for finding in findings]
        print(json.dumps({"grade": grade, "seconds": round(seconds, 1), "findings": listed}))
    else:
        _print_grades(findings)
        print(f"{grade} for measuring; checked in {seconds:.0f} s")
    return EXIT_FELL_SHORT if grade == "unfit" else EXIT_FINE


def _list_checks() -> dict[str, Callable[[], machine.Finding | list[machine.Finding]]]:
    """All checks, in an order that lets none disturb a later one: ours are no load of others."""
    threads, cores = torch.get_num_threads(), capture_environment().cores
    return {
        "load by others": machine.check_load,
        "run queue": machine.check_queue,
        "timer": machine.check_timer,
        "threads": partial(machine.check_threads, threads, cores),
        "frequency": machine.check_frequency,
        "memory probe": machine.check_memory_probe,
        "free memory": machine.check_free_memory,
        "native": software.check_compiler,
        "triton": software.check_triton,
        "GPU": software.check_gpu,
        "instructions": software.check_instructions,
        "data": software.check_data,
        "LPIPS": software.check_lpips,
        "disk": partial(software.check_disk, RESULTS.absolute()),
        "A/A floor": _check_floor,
    }


def _check_floor() -> list[machine.Finding]:
    backend = "sdpa" if unavailable_reason() else "native"
    return machine.judge_floor(machine.measure_floor(backend, FLOOR_BUDGET_S))


def _print_grades(findings: list[machine.Finding]) -> None:
    print_table(
        ("check", "grade", "found", "what to do"),
        [(finding.check, finding.grade, finding.value, finding.advice) for finding in findings],
    )


def _check_golden(as_json: bool) -> int:
    values = list_golden()
    with _progress(len(values)) as advance:
        findings = check_golden(values, lambda golden: advance(_describe(golden)))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        _print_findings(findings)
    verdicts = Counter(finding.verdict for finding in findings)
    if verdicts["DIFFERS"]:
        return EXIT_FELL_SHORT
    return EXIT_FINE if verdicts["HOLDS"] else EXIT_NOTHING


def _describe(golden: Golden) -> str:
    return f"{golden.task} {golden.dataset} {golden.column}"


def _name_set(golden: Golden) -> str:
    published = MANIFEST[golden.dataset]["test"].count
    part = "" if golden.images == published else f" ({golden.images} of {published})"
    return golden.dataset + part


def _print_findings(findings: list[Finding]) -> None:
    rows = []
    for finding in findings:
        golden, measured, difference = finding.golden, None, None
        if finding.measured is not None:
            measured = f"{finding.measured:.4f}"
            difference = f"{finding.measured - golden.value:+.4f}"
        rows.append(
            (
                *(golden.task, _name_set(golden), golden.protocol, golden.column, golden.source),
                *(measured, f"{golden.value:.4f}", difference, finding.verdict),
            )
        )
    numbers = ("measured", "published", "difference")
    headings = ("task", "set", "protocol", "column", "source", *numbers, "verdict")
    print_table(headings, rows, numbers=numbers)
    reasons = dict.fromkeys(
        f"{_name_set(finding.golden)}: {finding.reason}" for finding in findings if finding.reason
    )
    for reason in reasons:
        print(reason)
    verdicts = Counter(finding.verdict for finding in findings)
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))


def _survey_data(as_json: bool) -> int:
    with _progress(None) as advance:
        reports = survey(advance)
    if as_json:
        print(json.dumps([asdict(report) for report in reports]))
    else:
        _print_reports(reports)
    states = Counter(report.state for report in reports)
    if states["wrong version"]:
        return EXIT_FELL_SHORT
    return EXIT_FINE if states["complete"] + states["partial"] else EXIT_NOTHING


def _print_reports(reports: list[Report]) -> None:
    for report in reports:
        print(
            f"{report.state:13} {report.name}/{report.split}: {report.images} of "
            f"{report.expected}; {report.detail} [{report.source}]"
        )
    states = Counter(report.state for report in reports)
    print(", ".join(f"{count} {state}" for state, count in states.items()))


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[str], None]]:
    """A line that changes on a terminal; elsewhere a line for every tenth of a known total."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed} {task.fields[what]}"))
    done = 0
    with Progress(
        *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=total, what="")

        def advance(what: str) -> None:
            nonlocal done
            done += 1
            bar.update(task, completed=done, what=f"of {total}: {what}" if total else what)
            if not console.is_terminal and total and done % max(1, total // 10) == 0:
                print(f"{done} of {total}: {what}", file=sys.stderr)

        yield advance


_COMMANDS: dict[str, Callable[[bool], int]] = {
    "machine": _check_machine,
    "golden": _check_golden,
    "data": _survey_data,
}


if __name__ == "__main__":
    sys.exit(main())
