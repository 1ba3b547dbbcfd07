"""Two versions of a program against each other, by alternating processes in one run.

Four workers take turns in rounds of random order: the base, the working tree (head), and a second
process of each, their twins. Twins have processes to themselves because processes of the same code
differ by a percent, and a floor that is blind to that would call such a difference a verdict. For
the same reason the workers are replaced by fresh ones `POOLS` times per measurement. The two
entries of each side are averaged. Both sides do the same, as all else would bend the ratio: times
have a long tail upwards, so that the median of an average of two lies above that of one, and a
process that is visited more often than another finds its caches warmer, faster by up to 4 %.

A visit makes one untimed call, which fetches the worker's data back into the caches, and then a few
timed ones. Their lower quartile is the round's sample: the calls do equal work, and what disturbs
one only adds to it. Workers compute on one thread. On two, the idle threads of one worker spin for
milliseconds into the calls of the next, and intervals were up to twice as wide; a passive wait
policy would avoid that, but slows networks to less than half. A regression of the threading itself
is therefore not seen here.

The band of equality is delta = max(threshold, floor), where the floor is the half-width of the
interval of the base's twin over the base, or that ratio's own distance from 1 where it is larger. A
verdict wants the head's whole interval beyond the band, so head must stand out by its own
uncertainty and by what identical code shows in the same run. Three times the floor, as for tables,
would hide slowdowns of 5 % in runs of a few seconds.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.records.statistics import Ratio, Verdict, compare_paired, judge
from benchmarks.regression.process import Worker, WorkerError, WorkerTimeoutError
from kgt.errors import Failure

# Calibrated together with the budget of the paired tier, see `calibration`.
POOLS = 2
VISIT_MS = 10.0
VISIT_QUANTILE = 0.25
MIN_CALLS = 2
MIN_ROUNDS = 4

Side = Literal["base", "base-twin", "head", "head-twin"]
Status = Literal["ok", "failed", "timeout", "wrong-output"]
SIDES: tuple[Side, ...] = ("base", "base-twin", "head", "head-twin")


def is_head(side: Side) -> bool:
    """Whether a side measures the working tree."""
    return side.startswith("head")


class BaseCommitError(Failure):
    """The base commit does not import, so that nothing can be compared with it."""


Start = Callable[[Side], Worker]
# Milliseconds of a call: one entry per round.
Samples = dict[Side, list[float]]


@dataclass(frozen=True)
class PairedResult:
    """The result of one benchmark.

    Attributes:
        name: the benchmark.
        status: "ok"; "failed" where a side raised or died, "timeout" where it did not answer,
            "wrong-output" where head computes something else than the base.
        reason: why `status` is not "ok", or what the verdict is based on.
        verdict: head against base; None unless `status` is "ok".
        ratio: head's time over the base's.
        floor: noise floor, relative, from the base's A/A twin.
        base_ms: median time of a call.
        head_ms: likewise.
        confirmed: whether a SLOWER was measured twice.
    """

    name: str
    status: Status
    reason: str
    verdict: Verdict | None = None
    ratio: Ratio | None = None
    floor: float | None = None
    base_ms: float | None = None
    head_ms: float | None = None
    confirmed: bool = False


def compare(
    names: Sequence[str],
    start: Start,
    *,
    budget_s: float,
    threshold: float,
    on_event: Callable[[str], None] = lambda text: None,
    changed_outputs: Collection[str] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> list[PairedResult]:
    """Measure benchmarks once.

    Args:
        names: benchmarks.
        start: makes a fresh worker of one side.
        budget_s: seconds of rounds per benchmark, over all pools.
        threshold: smallest relative difference that matters.
        on_event: called with a line of text as the run proceeds.
        changed_outputs: benchmarks whose output is meant to differ.
        clock: returns seconds.

    Returns:
        One result per name.

    Raises:
        BaseCommitError: if no worker of the base starts.
    """
    samples: dict[str, Samples] = {name: {side: [] for side in SIDES} for name in names}
    failed: dict[str, PairedResult] = {}
    for part in range(POOLS):
        with closing(_Pool(start)) as pool:
            for name in names:
                if name in failed:
                    continue
                on_event(f"{name}: part {part + 1} of {POOLS}")
                try:
                    _check_outputs(pool, name, name in changed_outputs)
                    _run_rounds(pool, samples[name], budget_s / POOLS, clock)
                except _BenchmarkError as error:
                    failed[name] = PairedResult(name, error.status, str(error))
                    on_event(f"{name}: {error.status}: {error}")
                    pool.close()  # the next benchmark gets workers that nothing has befallen
    return [failed.get(name) or _conclude(name, samples[name], threshold) for name in names]


class _BenchmarkError(Exception):
    def __init__(self, status: Status, reason: str):
        super().__init__(reason)
        self.status = status


class _Pool:
    """One worker per side, started when it is first asked for, and anew after `close`."""

    def __init__(self, start: Start):
        self._start = start
        self._workers: dict[Side, Worker] = {}

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def prepare(self, side: Side, name: str) -> np.ndarray:
        with _blame(side):
            if side not in self._workers:
                try:
                    self._workers[side] = self._start(side)
                except WorkerError as error:
                    if is_head(side):
                        raise
                    raise BaseCommitError(
                        f"the base commit does not import: {error}; name another commit"
                    ) from error
            return self._workers[side].prepare(name)

    def time_calls_ms(self, side: Side, calls: int) -> list[float]:
        with _blame(side):
            return self._workers[side].time_calls_ms(calls)


@contextmanager
def _blame(side: Side) -> Iterator[None]:
    try:
        yield
    except WorkerError as error:
        status: Status = "timeout" if isinstance(error, WorkerTimeoutError) else "failed"
        raise _BenchmarkError(status, f"{'head' if is_head(side) else 'base'}: {error}") from error


def _check_outputs(pool: _Pool, name: str, may_differ: bool) -> None:
    """Prepare all sides and compare what head computes with what the base does.

    Sums taken in another order differ in the last of their digits, and layers add such
    differences up; half of the type's digits, of the largest value, is far above that and far
    below a term that is missing. Integers must be equal.
    """
    outputs = {side: pool.prepare(side, name) for side in SIDES}
    base, head = outputs["base"], outputs["head"]
    if may_differ:
        return
    if base.shape != head.shape or base.dtype != head.dtype:
        raise _BenchmarkError(
            "wrong-output",
            f"head returns {head.dtype} {list(head.shape)}, "
            f"the base {base.dtype} {list(base.shape)}",
        )
    difference = np.abs(head.astype(np.float64) - base.astype(np.float64))
    error = float(difference.max(initial=0.0))
    allowed = 0.0
    if np.issubdtype(base.dtype, np.floating):
        allowed = math.sqrt(np.finfo(base.dtype).eps) * float(np.abs(base).max(initial=0.0))
    if not error <= allowed:  # a NaN is wrong, too
        raise _BenchmarkError(
            "wrong-output",
            f"head's output differs from the base's by up to {error:.3g}, allowed {allowed:.3g}; "
            "if that is meant, name the benchmark among the changed outputs",
        )


def _run_rounds(pool: _Pool, samples: Samples, budget_s: float, clock: Callable[[], float]) -> None:
    """Visit all sides in a fresh random order until the budget ends; at least MIN_ROUNDS times."""
    start = clock()
    # Not counted: it wakes all sides up and gives the number of calls that fill a visit.
    first_ms = [np.median(pool.time_calls_ms(side, MIN_CALLS)) for side in SIDES]
    calls = max(MIN_CALLS, round(VISIT_MS / float(np.median(first_ms))))
    rounds = 0
    while rounds < MIN_ROUNDS or clock() - start < budget_s:
        for side in random.sample(SIDES, len(SIDES)):
            times_ms = pool.time_calls_ms(side, calls)
            samples[side].append(float(np.quantile(times_ms, VISIT_QUANTILE)))
        rounds += 1


def _conclude(name: str, samples: Samples, threshold: float) -> PairedResult:
    base, base_twin, head, head_twin = (np.array(samples[side]) for side in SIDES)
    ratio = compare_paired(np.sqrt(head * head_twin), np.sqrt(base * base_twin))
    twin_ratio = compare_paired(base_twin, base)
    floor = max(twin_ratio.halfwidth, abs(twin_ratio.value - 1))
    verdict = judge(ratio, floor=0.0, threshold=max(threshold, floor))
    return PairedResult(
        name,
        "ok",
        verdict.reason,
        verdict,
        ratio,
        floor,
        base_ms=float(np.median([base, base_twin])),
        head_ms=float(np.median([head, head_twin])),
    )
