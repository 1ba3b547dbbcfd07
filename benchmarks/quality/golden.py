"""Published values that need no network, and so prove data, degradation and metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import yaml

import baselines
from benchmarks.data.datasets import Dataset, DatasetNotFound, load_dataset
from benchmarks.quality.evaluation import evaluate
from benchmarks.records.printed import read_printed
from benchmarks.tasks import get_protocol, get_task
from benchmarks.tasks.metrics import PEAK, psnr

PSNR_TOLERANCE_DB = 5e-3
_TOLERANCES = {"psnr": PSNR_TOLERANCE_DB, "ssim": 2e-4, "input psnr": PSNR_TOLERANCE_DB}
# Half a unit of the last of the three decimals that the tables print.
SSIM_PRINT_TOLERANCE = 5e-4

Verdict = Literal["HOLDS", "DIFFERS", "ABSENT"]


@dataclass(frozen=True)
class Golden:
    """One published value of the degraded (or bicubically enlarged) images themselves.

    Attributes:
        task: task name.
        dataset: set name.
        images: number of images the value is the mean of.
        column: column of the protocol, or "input psnr" for the input as it is, neither clipped nor
            rounded.
        value: what was published.
        tolerance: largest difference that confirms it.
        source: where it was published.
        protocol: protocol name.
    """

    task: str
    dataset: str
    images: int
    column: str
    value: float
    tolerance: float
    source: str
    protocol: str


@dataclass(frozen=True)
class GoldenFinding:
    """What became of a golden value: the measured value, or why there is none."""

    golden: Golden
    verdict: Verdict
    measured: float | None = None
    reason: str = ""


def _known_values() -> list[Golden]:
    """The values of golden.yaml."""
    text = Path(__file__).with_name("golden.yaml").read_text(encoding="utf-8")
    return [
        Golden(
            task,
            entry["dataset"],
            entry["images"],
            column,
            value,
            entry.get("tolerance", tolerance),
            "known value",
            entry["protocol"],
        )
        for entry in yaml.safe_load(text)
        for column, tolerance in _TOLERANCES.items()
        for task, value in entry.get(column, {}).items()
    ]


def _printed_jpeg_columns() -> list[Golden]:
    """The rows "JPEG" of Tables 1 and 2 for the sets whose images are those of the papers."""
    images = {"Classic5": 5, "LIVE1": 29, "BSDS500": 200, "Urban100": 100}
    tolerances = {"PSNR": PSNR_TOLERANCE_DB, "SSIM": SSIM_PRINT_TOLERANCE}
    return [
        Golden(
            f"jpeg-{kind}-q{row.setting[0].removeprefix('QF=')}",
            row.dataset,
            images[row.dataset],
            metric.lower(),
            value,
            tolerances[metric],
            f"Table {number}",
            f"jpeg-{kind}",
        )
        for number, kind in ((1, "gray"), (2, "color"))
        for row in read_printed(f"table{number}_jpeg_{kind}.csv")
        if row.method == "JPEG"
        for metric, value in row.values.items()
    ]


def _printed_malvar_column() -> list[Golden]:
    """The row "Matlab" of Table 7, which is Malvar's filter, under the crop that meets it."""
    names = {"Kodak": ("Kodak24", 24), "McMaster": ("McMaster", 18)}
    return [
        Golden(
            "demosaic",
            *names[row.dataset],
            "psnr",
            row.values["PSNR"],
            PSNR_TOLERANCE_DB,
            "Table 7",
            "demosaic-border10",
        )
        for row in read_printed("table7_demosaick.csv")
        if row.method == "Matlab"
    ]


def list_golden() -> list[Golden]:
    """All golden values, those of one evaluation in a row."""
    values = [*_known_values(), *_printed_jpeg_columns(), *_printed_malvar_column()]
    order = list(dict.fromkeys((golden.dataset, golden.task, golden.protocol) for golden in values))
    return sorted(values, key=lambda g: order.index((g.dataset, g.task, g.protocol)))


def check_golden(
    values: list[Golden], on_value: Callable[[Golden], None] = lambda golden: None
) -> list[GoldenFinding]:
    """Measure golden values; what belongs to one evaluation is evaluated once.

    Args:
        values: golden values.
        on_value: called with each value before it is measured.
    """
    measured: dict[tuple[str, str, str], dict[str, float | None]] = {}
    findings = []
    for golden in values:
        on_value(golden)
        try:
            dataset = load_dataset(golden.dataset)
        except DatasetNotFound as error:
            findings.append(GoldenFinding(golden, "ABSENT", reason=str(error)))
            continue
        if len(dataset) != golden.images:
            reason = f"{dataset.coverage} images here, the value is of {golden.images}"
            findings.append(GoldenFinding(golden, "ABSENT", reason=reason))
            continue
        key = (golden.task, golden.dataset, golden.protocol)
        if golden.column == "input psnr":
            value: float | None = _input_psnr_db(golden.task, dataset)
        else:
            if key not in measured:
                measured[key] = _evaluate(golden, dataset)
            value = measured[key][golden.column]
        findings.append(_judge(golden, value))
    return findings


def _judge(golden: Golden, value: float | None) -> GoldenFinding:
    if value is None:
        return GoldenFinding(golden, "DIFFERS", reason="no image has a finite value")
    # A difference of exactly the tolerance must not depend on how decimals round to binary.
    holds = abs(value - golden.value) <= golden.tolerance + 1e-9
    return GoldenFinding(golden, "HOLDS" if holds else "DIFFERS", value)


def _evaluate(golden: Golden, dataset: Dataset) -> dict[str, float | None]:
    task = get_task(golden.task)
    if task.scale > 1:
        model = baselines.create_model("bicubic", scale=task.scale)
    else:
        model = baselines.create_model("identity")
    return evaluate(model, task, dataset, get_protocol(golden.protocol), strict=True).metrics


def _input_psnr_db(name: str, dataset: Dataset) -> float:
    task = get_task(name)
    pairs = map(partial(task.make_pair, dataset), dataset)
    return float(np.mean([psnr(pair.input * PEAK, pair.target) for pair in pairs]))
