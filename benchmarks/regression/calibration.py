"""How often the paired tier errs: the working tree against itself, or against a slowed-down copy.

Without a planted slowdown every FASTER or SLOWER is false. With one, every other verdict than
SLOWER is a miss. Only first measurements count: a gate needs SLOWER twice, so it raises fewer
false alarms. Calibrations are kept as lines of JSON, and a page shows them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import to_jsonable_python

from benchmarks.cli.escaping import escape_markdown, render_table
from benchmarks.records.environment import Environment, capture_environment
from benchmarks.records.reading import parse_json, read_bytes
from benchmarks.records.statistics import wilson_interval
from benchmarks.regression.comparison import PairedResult, Side, compare, is_head
from benchmarks.regression.paired import ROOT
from benchmarks.regression.process import Worker, WorkerServer
from benchmarks.regression.workloads import list_benchmarks
from kgt.cli import OnProgress
from kgt.errors import Failure
from kgt.files import append_line, write_atomically

_LOAD = """
import os, random, sys, time
while os.getppid() == int(sys.argv[1]):
    until = time.perf_counter() + random.uniform(0.05, 1.0)
    while time.perf_counter() < until:
        pass
    time.sleep(random.uniform(0.05, 1.0))
"""
_TIMEOUT_S = 300.0
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
    *("planted", "load", "seconds each", "comparisons"),
    *("verdicts", "wrong [99 %]", "allowed", "commit"),
)


@dataclass(frozen=True)
class Calibration:
    """Verdicts on code compared with itself.

    Attributes:
        comparisons: how many were made.
        load: whether another process kept one core busy on and off.
        planted: share by which every call of the head was slowed down.
        budget_s: seconds of rounds per comparison.
        threshold: smallest relative difference that matters.
        verdicts: how often each label was given.
        wrong: false verdicts, or misses if a slowdown was planted.
        wrong_rate: their share with its 99 % Wilson interval, lower and upper end.
        elapsed_s: duration.
        environment: where it was measured.
        results: every comparison.
    """

    comparisons: int
    load: bool
    planted: float
    budget_s: float
    threshold: float
    verdicts: dict[str, int]
    wrong: int
    wrong_rate: tuple[float, float, float]
    elapsed_s: float
    environment: Environment
    results: tuple[PairedResult, ...]


def calibrate(
    comparisons: int,
    *,
    load: bool,
    planted: float,
    budget_s: float,
    threshold: float,
    on_progress: OnProgress = lambda what, done=None: None,
) -> Calibration:
    """Compare the working tree with itself, all benchmarks in turn.

    Args:
        comparisons: how many to make; workers are fresh for every pass over the benchmarks.
        load: whether another process keeps one core busy on and off at random.
        planted: share of its own time by which every call of the head is slowed down; 0 for none.
        budget_s: seconds of rounds per comparison.
        threshold: smallest relative difference that matters.
        on_progress: called with the counts of verdicts and the number of comparisons.

    Returns:
        Counts, rates and every comparison.

    Raises:
        ValueError: if `comparisons` or `budget_s` is not positive, or `planted` no share.
        Failure: if a comparison ends without a verdict.
    """
    if comparisons < 1 or not 0 <= planted <= 1 or not budget_s > 0:
        raise ValueError(
            "need comparisons >= 1, 0 <= planted <= 1 and budget_s > 0, "
            f"got {comparisons}, {planted} and {budget_s}"
        )
    begin = time.perf_counter()
    names, results = list(list_benchmarks()), list[PairedResult]()
    with _loaded_core() if load else nullcontext(), WorkerServer(_TIMEOUT_S) as server:

        def start(side: Side) -> Worker:
            return server.fork(ROOT, planted if is_head(side) else 0.0)

        while len(results) < comparisons:
            wanted = names[: comparisons - len(results)]
            results += compare(wanted, start, budget_s=budget_s, threshold=threshold)
            on_progress(f"{len(results)} comparisons: {dict(_count(results))}", len(results))
    verdicts = _count(results)
    slower, decided = verdicts["SLOWER"], verdicts["SLOWER"] + verdicts["FASTER"]
    wrong = comparisons - slower if planted else decided
    return Calibration(
        comparisons=comparisons,
        load=load,
        planted=planted,
        budget_s=budget_s,
        threshold=threshold,
        verdicts=dict(verdicts),
        wrong=wrong,
        wrong_rate=(wrong / comparisons, *wilson_interval(wrong, comparisons)),
        elapsed_s=time.perf_counter() - begin,
        environment=capture_environment(),
        results=tuple(results),
    )


def allowed_errors(comparisons: int, planted: float) -> int:
    """How many errors are allowed: 1 % false; of planted 5 % a tenth, of planted 10 % none."""
    share = 0.01 if not planted else 0.1 if planted < 0.1 else 0.0
    return int(share * comparisons)


def _count(results: list[PairedResult]) -> Counter[str]:
    for result in results:
        if result.verdict is None:
            raise Failure(f"{result.name} {result.status}: {result.reason}")
    return Counter(result.verdict.label for result in results if result.verdict)


@contextmanager
def _loaded_core() -> Iterator[None]:
    """Another process that computes and sleeps in turn, for random periods.

    Raises:
        Failure: if it ended early, so that there was no load.
    """
    process = subprocess.Popen([sys.executable, "-c", _LOAD, str(os.getpid())])
    try:
        yield
        if process.poll() is not None:
            raise Failure(f"the load ended with code {process.returncode}; the calibration is void")
    finally:
        process.kill()
        process.wait()


def append_calibration(path: Path, found: Calibration) -> None:
    """Add a line of JSON with every comparison."""
    append_line(path, json.dumps(to_jsonable_python(found)))


def read_calibrations(path: Path) -> list[Calibration]:
    """Every recorded calibration; of the same settings and environment the newest alone.

    Raises:
        ValueError: when there is none, or a line is something else.
    """
    if not path.exists():
        raise ValueError(f"no calibration is on record in {path}; run without --from-records")
    newest = {}
    for number, line in enumerate(read_bytes(path).splitlines(), start=1):
        found = parse_json(line, Calibration, f"{path}:{number}")
        newest[found.environment.key, found.planted, found.load] = found
    return list(newest.values())


def render_calibrations(calibrations: Sequence[Calibration]) -> str:
    """A page with a row per calibration, and the environments they were made in."""
    environments = {found.environment.key: found.environment for found in calibrations}
    command = "python -m benchmarks.regress calibrate --from-records"
    return "\n".join(
        [
            _TEXT,
            render_table(
                _HEADINGS, [[*map(escape_markdown, _row(found))] for found in calibrations]
            ),
            "",
            *(
                f"Measured on: {escape_markdown(where.describe())}\n"
                for where in environments.values()
            ),
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
        f"{found.wrong}: {rate:.1%} [{low:.1%}, {high:.1%}]",
        str(allowed_errors(found.comparisons, found.planted)),
        str(found.environment.commit)[:12],
    ]
