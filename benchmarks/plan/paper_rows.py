"""Printed numbers as records of source "paper"."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

from benchmarks.plan.specs import Paper, TableSpec
from benchmarks.records.cell import Cell
from benchmarks.records.record import Quantity, Record
from benchmarks.tasks import METRICS

_PAPER = Path(__file__).parents[1] / "records" / "paper"
_METRICS = {
    **{metric.label: (metric.key, metric.unit, 1.0) for metric in METRICS.values()},
    "params_M": ("parameters", "", 1e6),
    # What a text says of one method over another has no place in a column.
    "PSNR_gain_dB": ("stated", "dB PSNR", 1.0),
    "PSNR_gain_percent": ("stated", "% PSNR", 1.0),
    "params_reduction_percent": ("stated", "% parameters", -1.0),
}
_NO_DATASET = "-"


def load_printed(spec: TableSpec) -> dict[Cell, Record]:
    """Every printed record of a table by its cell, in printed order."""
    return {record.cell: record for paper in spec.papers for record in load_paper_records(paper)}


def load_paper_records(paper: Paper) -> list[Record]:
    """Records of the rows of a printed table, one per method, variant, task and set.

    Numbers of a method as a whole, its parameters, become a record of kind "training".
    """
    records = []
    for key, rows in _read(paper.file).groupby(["method", "setting", "dataset"], sort=False):
        method, setting, printed = map(str, key)
        named, _, variant = setting.rpartition(";")
        if variant not in paper.variants:
            named, variant = setting, ""
        if (name := named or printed) not in paper.tasks:
            continue
        metrics = {}
        for metric, value in zip(rows["metric"], rows["value"], strict=True):
            quantity, unit, factor = _METRICS[metric]
            metrics[quantity] = Quantity(value=value * factor, unit=unit, statistic="as printed")
        whole = printed == _NO_DATASET
        cell = Cell(
            kind="training" if whole else "quality",
            dataset=None if whole else paper.datasets.get(printed, printed),
            task=paper.tasks[name],
            model=method,
            recipe=", ".join(filter(None, (paper.source, paper.variants.get(variant)))),
            protocol=paper.source,
        )
        records.append(Record(cell=cell, source="paper", metrics=metrics))
    return records


@cache
def _read(file: str) -> pd.DataFrame:
    return pd.read_csv(_PAPER / file, dtype={"value": float})
