"""Printed numbers as records of source "paper"."""

from __future__ import annotations

from typing import Any

from benchmarks.plan.specs import Paper, TableSpec
from benchmarks.records.cell import Cell, PrintedCell
from benchmarks.records.printed import read_printed
from benchmarks.records.record import Record
from benchmarks.records.result import PrintedResult, Quantity
from benchmarks.tasks import METRICS

_METRICS = {
    **{metric.label: (metric.key, metric.unit, 1.0) for metric in METRICS.values()},
    "params_M": ("parameters", "", 1e6),
    # A printed difference of two methods has no place in a column.
    "PSNR_gain_dB": ("stated", "dB PSNR", 1.0),
    "PSNR_gain_percent": ("stated", "% PSNR", 1.0),
    "params_reduction_percent": ("stated", "% parameters", -1.0),
}


def load_printed(spec: TableSpec) -> dict[Cell, Record]:
    """Every printed record of a table by its cell, in printed order."""
    return {record.cell: record for paper in spec.papers for record in load_paper_records(paper)}


def load_paper_records(paper: Paper) -> list[Record]:
    """Records of the rows of a printed table, one per method, variant, task and set.

    Numbers of a method as a whole, its parameters, become a record of kind "training".
    """
    records = []
    for row in read_printed(paper.file):
        *named, variant = row.setting
        if variant not in paper.variants:
            named, variant = [*named, variant], ""
        if (name := ";".join(named) or row.dataset) not in paper.tasks:
            continue
        found: dict[str, Any] = {}
        for metric, value in row.values.items():
            quantity, unit, factor = _METRICS[metric]
            found[quantity] = Quantity(value=value * factor, unit=unit, statistic=paper.source)
        whole = row.dataset == "-"
        cell = PrintedCell(
            kind="training" if whole else "quality",
            task=paper.tasks[name],
            dataset=None if whole else paper.datasets.get(row.dataset, row.dataset),
            model=row.method,
            source=paper.source,
            variant=paper.variants.get(variant, ""),
        )
        records.append(Record(cell=cell, result=PrintedResult(**found)))
    return records
