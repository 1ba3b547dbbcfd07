"""Attention records arranged for judging and drawing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from benchmarks.plan.cells import Cell
from benchmarks.plan.records import Metric, Record

Records = Mapping[Cell, Record]
Line = dict[int, Metric]


def attention_series(records: Records, kind: str, metric: str) -> dict[str, dict[int, Line]]:
    """Values of a metric as contender -> N -> k -> metric; clamped cells repeat others, so no."""
    found: dict[str, dict[int, Line]] = defaultdict(lambda: defaultdict(dict))
    for cell, record in records.items():
        usable = cell.kind == kind and record.status == "ok" and not record.checks.get("clamped")
        if usable and metric in record.metrics and cell.backend and cell.n and cell.k:
            found[cell.contender][cell.n][cell.k] = record.metrics[metric]
    return found
