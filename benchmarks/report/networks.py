"""Records of whole networks over the size of their input, and how quantities grow with it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.records.cell import CellKind, NetworkCell
from benchmarks.records.record import Record
from benchmarks.records.result import UNIT_INPUT, NetworkLatency, Quantity
from benchmarks.records.statistics import CONFIDENCE
from benchmarks.report.judgment import VerdictLabel, place_within
from benchmarks.report.series import Records, ResultT

# Below this many pixels of input what is paid once per call is more than a few percent.
FIRST_PIXELS = math.prod(map(int, UNIT_INPUT.split("x")))
LEAST_SIZES = 3
# An exponent counts as 1 (linear) or 2 (quadratic) within this.
EXPONENT = 0.15
LINEAR = (1 - EXPONENT, 1 + EXPONENT)


@dataclass(frozen=True)
class Growth:
    """The exponent of a quantity in the number of pixels, with its 99 % interval."""

    value: float
    lo: float
    hi: float

    @property
    def verdict(self) -> VerdictLabel:
        """Whether the interval allows for, or excludes, linear growth."""
        return place_within(self.lo, self.hi, LINEAR)


class Attempt(NamedTuple):
    """A cell and what it gave, be it no values."""

    cell: NetworkCell
    record: Record


class Point(NamedTuple):
    """A value at a size of input, and how far it may be off, relative (0 of what is exact)."""

    input: str
    value: float
    slack: float


# By pixels of input, smallest first.
Sizes = dict[int, Attempt]
Curve = dict[int, Point]


def network_lines(records: Records, kind: CellKind) -> dict[str, Sizes]:
    """What was tried of a kind of network cell, by contender."""
    lines: dict[str, Sizes] = defaultdict(dict)
    for cell, record in records.items():
        if isinstance(cell, NetworkCell) and cell.kind == kind:
            lines[cell.contender][cell.pixels] = Attempt(cell, record)
    return {name: dict(sorted(line.items())) for name, line in lines.items()}


def trace(
    line: Sizes, results: type[ResultT], quantity: Callable[[ResultT], Quantity | None]
) -> Curve:
    """The values of a quantity, where it could be taken."""
    return {
        pixels: Point(cell.input, found.value, 0.0)
        for pixels, (cell, record) in line.items()
        if isinstance(result := record.result, results) and (found := quantity(result))
    }


def trace_time(line: Sizes) -> Curve:
    """Times over that of `UNIT_INPUT`, from there on; each may be off by its interval and floor."""
    curve = {}
    for pixels, (cell, record) in line.items():
        if isinstance(result := record.result, NetworkLatency) and (found := result.growth):
            lo, hi = found.interval
            slack = max(hi / found.value, found.value / lo) * (1 + result.floor.value) - 1
            curve[pixels] = Point(cell.input, found.value, slack)
    return {FIRST_PIXELS: Point(UNIT_INPUT, 1.0, 0.0), **curve} if curve else {}


def trace_all(
    lines: dict[str, Sizes],
    results: type[ResultT],
    quantity: Callable[[ResultT], Quantity | None],
) -> dict[str, Curve]:
    """The values of a quantity by contender."""
    return {name: trace(line, results, quantity) for name, line in lines.items()}


def large_sizes(curve: Curve) -> Curve:
    """The part of a curve that growth is judged on."""
    return {pixels: point for pixels, point in curve.items() if pixels >= FIRST_PIXELS}


def fit_growth(curve: Curve) -> Growth | None:
    """Slope of log(value) over log(pixels) from `FIRST_PIXELS` on; None for fewer than 3 sizes.

    The interval is that of least squares, so a line that bends has a wide one; it is widened by how
    far the values at both ends may be off.
    """
    from scipy import stats  # takes a second to import

    points = large_sizes(curve)
    if len(points) < LEAST_SIZES:
        return None
    sizes = np.log(list(points))
    _, values, slack = zip(*points.values(), strict=True)
    fit = stats.linregress(sizes, np.log(values))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(points) - 2) * fit.stderr)
    reach += (math.log1p(slack[0]) + math.log1p(slack[-1])) / float(np.ptp(sizes))
    slope = float(fit.slope)
    return Growth(slope, slope - reach, slope + reach)
