"""Series of one measurement over time, and where they step. It reports, and never gates.

Runs of different days share no rounds, so a step is a hint to be confirmed by the paired tier.
Series of different environments are never joined, and no ratio is taken between them.

A series of log values is cut where that lowers the sum of absolute distances to the segments'
medians by more than a penalty per cut (optimal partition by dynamic programming, Jackson et al.
2005, with the L1 cost that asv uses). The penalty grows with the noise, which the median absolute
difference of neighbors estimates whether there are steps or not. Of series of normal noise without
a step, 6 to 40 points long, 0 to 5 % were cut in simulation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from benchmarks.records.environment import Environment
from benchmarks.records.record import Record

TRACKED = ("latency", "peak", "training_time")
MIN_SEGMENT = 3
MIN_POINTS = 2 * MIN_SEGMENT
MIN_CHANGE = 0.02
_PENALTY = 2.0
_LEAST_NOISE = MIN_CHANGE / 4


@dataclass(frozen=True)
class Point:
    """One value: when it was measured, UTC in ISO 8601, and of which commit."""

    timestamp: str
    commit: str | None
    value: float


@dataclass(frozen=True)
class Series:
    """One metric of one cell in one environment, oldest first.

    Attributes:
        name: the cell, and the benchmark it was measured by if that was pytest-benchmark.
        metric: name of the metric.
        unit: its unit.
        environment: the first point's; all have its key.
        points: at least one.
    """

    name: str
    metric: str
    unit: str
    environment: Environment
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Step:
    """A lasting change: medians of the segments before and after, and the first point after.

    Above 1 the ratio, after over before, is more time or memory.
    """

    before: float
    after: float
    ratio: float
    first: Point


@dataclass(frozen=True)
class Trend(Series):
    """A series and what it shows; one that is too short is not judged.

    Attributes:
        verdict: STEPS, STEADY or TOO SHORT.
        steps: lasting changes, oldest first.
    """

    verdict: Literal["STEPS", "STEADY", "TOO SHORT"]
    steps: tuple[Step, ...] = ()


def build_series(records: Iterable[Record]) -> list[Series]:
    """Group measured values by cell, metric and environment key, in the order of their times."""
    groups: dict[tuple[str, str, str, str], list[tuple[Environment, Point]]] = {}
    for record in records:
        environment = record.environment
        if environment is None or record.status != "ok":
            continue
        name = " ".join(filter(None, [record.cell.id, getattr(record.result, "benchmark", None)]))
        for metric in TRACKED:
            found = record.result.quantity(metric)
            if found is not None and found.value > 0:
                point = Point(environment.timestamp, environment.commit, found.value)
                key = (name, metric, found.unit, environment.key)
                groups.setdefault(key, []).append((environment, point))
    return [
        Series(
            name,
            metric,
            unit,
            pairs[0][0],
            tuple(sorted((point for _, point in pairs), key=lambda point: point.timestamp)),
        )
        for (name, metric, unit, _), pairs in groups.items()
    ]


def judge_series(series: Series) -> Trend:
    """Find the steps of a series that change its level by at least 2 %."""
    points = series.points
    if len(points) < MIN_POINTS:
        return Trend(**vars(series), verdict="TOO SHORT")
    values = np.array([point.value for point in points])
    bounds = [0, *find_changes(np.log(values)), len(points)]
    levels = [float(np.median(values[a:b])) for a, b in pairwise(bounds)]
    steps = tuple(
        Step(before, after, after / before, points[start])
        for (before, after), start in zip(pairwise(levels), bounds[1:-1], strict=True)
        if abs(math.log(after / before)) >= math.log1p(MIN_CHANGE)
    )
    return Trend(**vars(series), verdict="STEPS" if steps else "STEADY", steps=steps)


def find_changes(values: Sequence[float] | np.ndarray) -> list[int]:
    """Where segments of at least three values begin, the first one left out.

    Args:
        values: [n] in the order of time, on a scale where differences are comparable (logs).

    Returns:
        Ascending positions; empty when one level explains all values, or n < 6.
    """
    x = np.asarray(values, dtype=np.float64)
    n = x.size
    if n < MIN_POINTS:
        return []
    noise = 1.4826 * float(np.median(np.abs(np.diff(x)))) / math.sqrt(2)
    penalty = _PENALTY * max(noise, _LEAST_NOISE) * math.log(n)
    best = np.full(n + 1, np.inf)
    best[0] = -penalty
    begin = np.zeros(n + 1, dtype=int)
    for end in range(MIN_SEGMENT, n + 1):
        for start in range(end - MIN_SEGMENT + 1):
            distance = np.abs(x[start:end] - np.median(x[start:end])).sum()
            cost = best[start] + penalty + distance
            if cost < best[end]:
                best[end], begin[end] = cost, start
    changes = []
    end = n
    while begin[end] > 0:
        end = int(begin[end])
        changes.append(end)
    return changes[::-1]
