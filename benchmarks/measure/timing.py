"""Interleaved latency measurement with an A/A twin as its noise floor."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from benchmarks.records.statistics import (
    MIN_PAIRS,
    Ratio,
    Verdict,
    compare_paired,
    judge,
    median_interval,
)
from kgt.errors import quote

WARMUP_BLOCK = 3
WARMUP_AGREEMENT = 0.05
WARMUP_BUDGET_SHARE = 0.25
# Intervals are looked at only when the rounds have grown by a fifth: looking after every round
# would stop on a lucky streak more often.
LOOK_GROWTH = 1.2


@dataclass(frozen=True)
class WarmUp:
    """Calls made before the rounds, none of which enters a ratio.

    Attributes:
        first_call_ms: the first call, compilation and lazy initialization included.
        samples_ms: the calls after it, in order.
        settled: whether the last two blocks agreed; False if the budget share ended first.
    """

    first_call_ms: float
    samples_ms: tuple[float, ...]
    settled: bool


@dataclass(frozen=True)
class ContenderTiming:
    """Every sample of one contender and what they say.

    Attributes:
        warm_up: the calls before the rounds.
        samples_ms: one time per round, in the order of the rounds, none dropped.
        median_ms: median of `samples_ms`.
        median_interval_ms: its 99 % interval.
        ratio: time over the baseline's time of the same round.
        verdict: the ratio against the noise floor.
    """

    warm_up: WarmUp
    samples_ms: tuple[float, ...]
    median_ms: float
    median_interval_ms: tuple[float, float]
    ratio: Ratio
    verdict: Verdict


@dataclass(frozen=True)
class Timings:
    """Outcome of one interleaved measurement.

    Attributes:
        baseline: name of the contender that the ratios refer to.
        contenders: timings by name, the baseline among them.
        twin_samples_ms: the baseline's second entry in every round.
        twin_ratio: that entry over the baseline: 1 but for noise.
        floor: how far from 1 the interval of `twin_ratio` reaches.
        rounds: number of rounds.
        stopped_by: which rule ended the measurement.
        elapsed_s: time spent, warm-up included.
        called_s: the part of it spent within calls of contenders, warm-up included.
    """

    baseline: str
    contenders: dict[str, ContenderTiming]
    twin_samples_ms: tuple[float, ...]
    twin_ratio: Ratio
    floor: float
    rounds: int
    stopped_by: Literal["precision", "budget", "max-rounds"]
    elapsed_s: float
    called_s: float


def measure_latency(
    contenders: Mapping[str, Callable[[], object]],
    baseline: str,
    *,
    budget_s: float,
    min_rounds: int = MIN_PAIRS,
    max_rounds: int = 500,
    target_halfwidth: float = 0.01,
    seed: int = 0,
    calls_per_run: Mapping[str, int] | None = None,
    synchronize: Callable[[], object] = lambda: None,
    on_round: Callable[[int, float], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Time contenders against a baseline in interleaved rounds.

    Each contender is warmed up until two successive blocks agree. Then every round calls all
    contenders and a second entry of the baseline, its A/A twin, in a fresh random order, so
    that a drifting machine slows all of them alike.

    Args:
        contenders: zero-argument calls by name; check their outputs before timing them.
        baseline: the name in `contenders` that ratios refer to.
        budget_s: seconds after which no further round starts; a quarter of it may go to
            warm-up. `min_rounds` are run even if they take longer.
        min_rounds: rounds before any stopping rule applies; that of precision also waits for
            `MIN_PAIRS`, below which there is no interval.
        max_rounds: rounds after which to stop in any case.
        target_halfwidth: stop once every 99 % interval of a log ratio is narrower than this.
        seed: seed of the order of calls.
        calls_per_run: by how much to divide the times of a contender that does the work of
            several calls at a time; 1 for those not named.
        synchronize: waits for the device; called within the timed region after each call.
        on_round: called after each round with the rounds done and the seconds elapsed.
        clock: returns seconds.

    Returns:
        Raw samples, ratios with intervals, verdicts and the noise floor.

    Raises:
        ValueError: if `baseline` is not a contender, or a limit is out of range.
    """
    if baseline not in contenders:
        raise ValueError(f"unknown baseline {quote(baseline)}; contenders are {sorted(contenders)}")
    if not 1 <= min_rounds <= max_rounds:
        raise ValueError(
            f"need 1 <= min_rounds <= max_rounds, got {min_rounds} and {max_rounds}; "
            f"a verdict takes at least {MIN_PAIRS} rounds"
        )
    if budget_s <= 0:
        raise ValueError(f"budget_s must be positive, got {budget_s}")

    called_s = 0.0

    def call_ms(name: str) -> float:
        nonlocal called_s
        fn = contenders[name]
        begin = clock()
        output = fn()  # held, so that freeing it is not timed
        synchronize()
        elapsed_s = clock() - begin
        del output
        called_s += elapsed_s
        return elapsed_s * 1e3 / (calls_per_run or {}).get(name, 1)

    start = clock()
    warmup_limit_ms = 1e3 * WARMUP_BUDGET_SHARE * budget_s / len(contenders)
    warm_ups = [_warm_up(partial(call_ms, name), warmup_limit_ms) for name in contenders]

    names = list(contenders)
    entries = [*names, baseline]
    samples_ms: list[list[float]] = [[] for _ in entries]
    base = names.index(baseline)
    order = np.random.default_rng(seed)
    # Fewer rounds than an interval takes do not show how narrow it is.
    rounds, next_look = 0, max(min_rounds, MIN_PAIRS)
    stopped_by: Literal["precision", "budget", "max-rounds"] | None = None
    while stopped_by is None:
        for entry in order.permutation(len(entries)):
            samples_ms[entry].append(call_ms(entries[entry]))
        rounds += 1
        if on_round is not None:
            on_round(rounds, clock() - start)
        if rounds >= next_look:
            next_look = math.ceil(rounds * LOOK_GROWTH)
            ratios = [compare_paired(times, samples_ms[base]) for times in samples_ms]
            if all(ratio.halfwidth < target_halfwidth for ratio in ratios):
                stopped_by = "precision"
        if stopped_by is None and rounds >= max_rounds:
            stopped_by = "max-rounds"
        elif stopped_by is None and rounds >= min_rounds and clock() - start >= budget_s:
            stopped_by = "budget"

    *own_samples_ms, twin_samples_ms = samples_ms
    twin_ratio = compare_paired(twin_samples_ms, samples_ms[base])
    floor = twin_ratio.distance_from_one
    return Timings(
        baseline=baseline,
        contenders={
            name: _summarize(warm_up, times, samples_ms[base], floor)
            for name, warm_up, times in zip(names, warm_ups, own_samples_ms, strict=True)
        },
        twin_samples_ms=tuple(twin_samples_ms),
        twin_ratio=twin_ratio,
        floor=floor,
        rounds=rounds,
        stopped_by=stopped_by,
        elapsed_s=clock() - start,
        called_s=called_s,
    )


def _warm_up(call_ms: Callable[[], float], limit_ms: float) -> WarmUp:
    """Call until the medians of two successive blocks agree or `limit_ms` is spent."""
    first_call_ms = call_ms()
    samples_ms: list[float] = []
    while first_call_ms + sum(samples_ms) < limit_ms:
        samples_ms += [call_ms() for _ in range(WARMUP_BLOCK)]
        if len(samples_ms) < 2 * WARMUP_BLOCK:
            continue
        before = np.median(samples_ms[-2 * WARMUP_BLOCK : -WARMUP_BLOCK])
        after = np.median(samples_ms[-WARMUP_BLOCK:])
        if abs(after - before) <= WARMUP_AGREEMENT * before:
            return WarmUp(first_call_ms, tuple(samples_ms), settled=True)
    return WarmUp(first_call_ms, tuple(samples_ms), settled=False)


def _summarize(
    warm_up: WarmUp, samples_ms: list[float], baseline_ms: list[float], floor: float
) -> ContenderTiming:
    ratio = compare_paired(samples_ms, baseline_ms)
    return ContenderTiming(
        warm_up=warm_up,
        samples_ms=tuple(samples_ms),
        median_ms=float(np.median(samples_ms)),
        median_interval_ms=median_interval(samples_ms),
        ratio=ratio,
        verdict=judge(ratio, floor),
    )
