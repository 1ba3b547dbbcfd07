"""Printed numbers: the CSV files of `paper/`, one row per method, set, setting and metric."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_PAPER = Path(__file__).with_name("paper")


@dataclass(frozen=True)
class PrintedRow:
    """What is printed of a method on a set, "-" for numbers of the method as a whole.

    A setting has parts, such as ("color", "sigma=15", "one_model_multi_sigma"); values are by
    metric, such as "PSNR".
    """

    method: str
    dataset: str
    setting: tuple[str, ...]
    values: dict[str, float] = field(default_factory=dict)


@cache
def read_printed(file: str) -> tuple[PrintedRow, ...]:
    """The rows of a file of `paper/` in printed order."""
    rows: dict[tuple[str, ...], PrintedRow] = {}
    with (_PAPER / file).open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            key = (line["method"], line["setting"], line["dataset"])
            setting = tuple(line["setting"].split(";"))
            row = rows.setdefault(key, PrintedRow(line["method"], line["dataset"], setting))
            row.values[line["metric"]] = float(line["value"])
    return tuple(rows.values())
