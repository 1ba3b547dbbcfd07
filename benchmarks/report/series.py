"""Records of a kind, and attention records arranged for judging and drawing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from statistics import mode
from typing import Any, TypeVar

from benchmarks.records.cell import AttentionCell, BaseCell, Cell
from benchmarks.records.record import Record
from benchmarks.records.result import AttentionLatency, AttentionRun, Quantity, Result

Records = Mapping[Cell, Record]
CellT = TypeVar("CellT", bound=BaseCell)
ResultT = TypeVar("ResultT", bound=Result)
RunT = TypeVar("RunT", bound=AttentionRun)
Line = dict[int, Quantity]
# Contender -> N -> k -> quantity.
Lines = Mapping[str, Mapping[int, Line]]
# Value of an axis -> (contender, baseline) -> ratio of their times.
Sweep = dict[Any, dict[tuple[str, str], Quantity]]

_SWEPT = ("head_dim", "heads", "dtype", "threads", "bias", "mode", "graph")


def select(records: Records, cells: type[CellT], results: type[ResultT]) -> dict[CellT, ResultT]:
    """The results of a type of cells of a type, in order; what has no values is left out."""
    return {
        cell: record.result
        for cell, record in records.items()
        if isinstance(cell, cells) and isinstance(record.result, results)
    }


def attention_series(
    records: Records, results: type[RunT], quantity: Callable[[RunT], Quantity | None]
) -> Lines:
    """A quantity as contender -> N -> k, of cells without a position bias.

    Clamped cells repeat others, so they are left out.
    """
    found: dict[str, dict[int, Line]] = defaultdict(lambda: defaultdict(dict))
    for cell, result in select(records, AttentionCell, results).items():
        value = quantity(result)
        if value is not None and not (cell.bias or result.clamped):
            found[cell.contender][cell.n][cell.k] = value
    return found


def attention_cells(
    records: Records, results: type[RunT], *contenders: str, n: int | None = None
) -> tuple[AttentionCell, ...]:
    """The cells that `attention_series` takes of these contenders, at one N where it is given."""
    return tuple(
        cell
        for cell, result in select(records, AttentionCell, results).items()
        if cell.contender in contenders
        and n in (None, cell.n)
        and not (cell.bias or result.clamped)
    )


LatencyLines = dict[tuple[int, str], dict[str, dict[int, AttentionLatency]]]


def latency_lines(records: Records) -> LatencyLines:
    """Results of cells timed beside dense attention, as (N, graph) -> contender -> k -> result.

    Smallest N first. Cells with a position bias and clamped cells are left out as in
    `attention_series`.
    """
    found: LatencyLines = {}
    for cell, result in select(records, AttentionCell, AttentionLatency).items():
        if cell.baseline == "dense" and not (cell.bias or result.clamped):
            contenders = found.setdefault((cell.n, cell.graph), {})
            contenders.setdefault(cell.contender, {})[cell.k] = result
    return dict(sorted(found.items()))


def axis_sweeps(records: Records) -> dict[str, Sweep]:
    """Ratios of timed cells along each axis that was changed, all others at their usual value.

    One axis is changed at a time, so the usual value of an axis is the commonest.
    """
    cells = [c for c in records if isinstance(c, AttentionCell) and c.kind == "latency"]
    timed = select(records, AttentionCell, AttentionLatency)
    usual = {axis: mode(getattr(cell, axis) for cell in cells) for axis in _SWEPT if cells}
    sweeps: dict[str, Sweep] = {}
    for axis in usual:
        sweep: Sweep = defaultdict(dict)
        for cell in cells:
            if all(getattr(cell, other) == usual[other] for other in _SWEPT if other != axis):
                ratios = sweep[getattr(cell, axis)]
                if cell in timed:
                    ratios[cell.contender, cell.baseline or ""] = timed[cell].ratio
        if len(sweep) > 1:
            numeric = all(isinstance(value, int) for value in sweep)
            sweeps[axis] = dict(sorted(sweep.items())) if numeric else sweep
    return sweeps
