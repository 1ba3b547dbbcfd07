"""Attention records arranged for judging and drawing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from benchmarks.records.cell import Cell
from benchmarks.records.record import Quantity, Record

Records = Mapping[Cell, Record]
Line = dict[int, Quantity]
# Value of an axis -> (contender, baseline) -> ratio of their times.
Sweep = dict[Any, dict[tuple[str, str], Quantity]]

SWEPT = ("head_dim", "heads", "dtype", "threads", "bias", "mode", "graph")


def attention_series(records: Records, kind: str, metric: str) -> dict[str, dict[int, Line]]:
    """Values of a metric as contender -> N -> k -> metric, of cells without a position bias.

    Clamped cells repeat others, so they are left out.
    """
    found: dict[str, dict[int, Line]] = defaultdict(lambda: defaultdict(dict))
    for cell, record in records.items():
        usable = cell.kind == kind and record.status == "ok" and not cell.bias
        usable &= not record.checks.get("clamped")
        if usable and metric in record.metrics and cell.backend and cell.n and cell.k:
            found[cell.contender][cell.n][cell.k] = record.metrics[metric]
    return found


def latency_lines(records: Records) -> dict[tuple[int, str], dict[str, dict[int, Record]]]:
    """Records of cells timed beside dense attention, as (N, graph) -> contender -> k -> record.

    Smallest N first. Cells with a position bias and clamped cells are left out as in
    `attention_series`.
    """
    found: dict[tuple[int, str], dict[str, dict[int, Record]]] = {}
    for cell, record in records.items():
        usable = cell.kind == "latency" and cell.baseline == "dense" and not cell.bias
        usable &= not record.checks.get("clamped")
        if usable and "ratio" in record.metrics and cell.n and cell.k and cell.graph:
            contenders = found.setdefault((cell.n, cell.graph), {})
            contenders.setdefault(cell.contender, {})[cell.k] = record
    return dict(sorted(found.items()))


def axis_sweeps(records: Records) -> dict[str, Sweep]:
    """Ratios of timed cells along each axis that was changed, all others at their usual value.

    One axis is changed at a time, so the usual value of an axis is the commonest.
    """
    cells = [cell for cell in records if cell.kind == "latency"]
    usual = {
        axis: Counter(getattr(cell, axis) for cell in cells).most_common(1)[0][0]
        for axis in (SWEPT if cells else ())
    }
    sweeps: dict[str, Sweep] = {}
    for axis in usual:
        sweep: Sweep = {}
        for cell in cells:
            if all(getattr(cell, other) == usual[other] for other in SWEPT if other != axis):
                ratios = sweep.setdefault(getattr(cell, axis), {})
                if "ratio" in records[cell].metrics:
                    pair = (cell.contender, cell.baseline or "")
                    ratios[pair] = records[cell].metrics["ratio"]
        if len(sweep) > 1:
            numeric = all(isinstance(value, int) for value in sweep)
            sweeps[axis] = dict(sorted(sweep.items())) if numeric else sweep
    return sweeps
