"""Printed numbers as records of source "paper"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.plan.cells import Cell
from benchmarks.plan.records import Metric, Record

_PAPER = Path(__file__).with_name("paper")
_METRICS = {
    "PSNR": ("psnr", "dB", 1.0),
    "SSIM": ("ssim", "", 1.0),
    "params_M": ("parameters", "", 1e6),
}
AS_PRINTED = "as printed"


def load_paper_records(file: str, setting: str, task: str) -> list[Record]:
    """Records of the rows of a printed table, one per method and dataset, in printed order.

    Args:
        file: name of the CSV of printed numbers.
        setting: the `setting` column of the rows wanted.
        task: task that the rows are printed for.
    """
    frame = pd.read_csv(_PAPER / file, dtype={"value": float})
    frame = frame[frame["setting"] == setting]
    records = []
    for (method, dataset), rows in frame.groupby(["method", "dataset"], sort=False):
        metrics = {}
        for metric, value in zip(rows["metric"], rows["value"], strict=True):
            name, unit, factor = _METRICS[metric]
            metrics[name] = Metric(value=float(value) * factor, unit=unit, statistic="as printed")
        kind: dict[str, Any] = (
            {"kind": "training"} if dataset == "-" else {"kind": "quality", "dataset": dataset}
        )
        cell = Cell(**kind, task=task, model=str(method), recipe=AS_PRINTED, protocol=AS_PRINTED)
        records.append(Record(cell=cell, source="paper", metrics=metrics))
    return records
