"""Published values that need no network, and so prove data, degradation and metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

import baselines
from benchmarks.data.datasets import Dataset, DatasetNotFound, load_dataset
from benchmarks.quality.evaluation import evaluate
from benchmarks.records.printed import read_printed
from benchmarks.tasks import get_protocol, get_task
from benchmarks.tasks.metrics import PEAK, psnr

PSNR_TOLERANCE_DB = 5e-3
SSIM_TOLERANCE = 2e-4
# Half a unit of the last of the three decimals that the tables print.
SSIM_PRINT_TOLERANCE = 5e-4

Verdict = Literal["HOLDS", "DIFFERS", "ABSENT"]


@dataclass(frozen=True)
class Golden:
    """One published value of the degraded (or bicubically enlarged) images themselves.

    Attributes:
        task: Task name.
        dataset: Set name.
        images: Number of images the value is the mean of.
        column: Column of the protocol, or "input psnr" for the input as it is, neither clipped nor
            rounded.
        value: What was published.
        tolerance: Largest difference that confirms it.
        source: Where it was published.
        protocol: Protocol name.
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
class Finding:
    """What became of a golden value: the measured value, or why there is none."""

    golden: Golden
    verdict: Verdict
    measured: float | None = None
    reason: str = ""


def _pair(
    task: str, dataset: str, images: int, values: tuple[float, ...], protocol: str
) -> list[Golden]:
    """PSNR and, if given, SSIM."""
    columns = (("psnr", PSNR_TOLERANCE_DB), ("ssim", SSIM_TOLERANCE))
    return [
        Golden(task, dataset, images, column, value, tolerance, "known value", protocol)
        for (column, tolerance), value in zip(columns, values, strict=False)
    ]


def _jpeg(
    kind: str, dataset: str, images: int, values: dict[int, tuple[float, ...]]
) -> list[Golden]:
    return [
        golden
        for quality, pair in values.items()
        for golden in _pair(f"jpeg-{kind}-q{quality}", dataset, images, pair, f"jpeg-{kind}")
    ]


def _noise(kind: str, dataset: str, images: int, values: dict[int, float]) -> list[Golden]:
    return [
        Golden(
            f"denoise-{kind}-s{sigma}",
            dataset,
            images,
            "input psnr",
            value,
            PSNR_TOLERANCE_DB,
            "known value",
            f"denoise-{kind}-swinir",
        )
        for sigma, value in values.items()
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
    values = [
        *_pair("sr-x2", "Set5", 5, (33.673, 0.9303), "sr-y601-crop-scale"),
        *_pair("sr-x3", "Set5", 5, (30.403, 0.8689), "sr-y601-crop-scale"),
        *_pair("sr-x4", "Set5", 5, (28.429, 0.8111), "sr-y601-crop-scale"),
        *_pair("sr-x4", "Set5", 5, (28.429, 0.8181), "sr-y601-crop-scale-ssim-same-zero"),
        Golden(
            "sr-x4", "Set5", 5, "ssim", 0.773, SSIM_PRINT_TOLERANCE, "known value",
            "sr-rgb-crop-scale",
        ),
        *_jpeg("gray", "Classic5", 5, {
            10: (27.821, 0.7595), 20: (30.123, 0.8344), 30: (31.484, 0.8666), 40: (32.428, 0.8849),
        }),
        *_jpeg("gray", "LIVE1", 29, {
            10: (27.770, 0.7730), 20: (30.072, 0.8512), 30: (31.407, 0.8851), 40: (32.355, 0.9041),
        }),
        *_jpeg("gray", "Urban100", 100, {10: (26.331,), 40: (31.065,)}),
        *_jpeg("gray", "Urban100", 25, {
            10: (26.1636,), 20: (28.4969,), 30: (29.9983,), 40: (31.1101,),
        }),
        *_jpeg("color", "LIVE1", 29, {
            10: (25.693, 0.7433), 20: (28.061, 0.8256), 30: (29.366, 0.8615), 40: (30.280, 0.8821),
        }),
        *_jpeg("color", "BSDS500", 200, {10: (25.840,)}),
        *_noise("gray", "Set12", 12, {15: 24.639, 25: 20.202, 50: 14.181}),
        *_noise("color", "McMaster", 18, {15: 24.613, 25: 20.176, 50: 14.155}),
        *_pair("demosaic", "McMaster", 18, (34.460,), "demosaic-border0"),
        *_pair("demosaic", "McMaster", 18, (34.435,), "demosaic-border10"),
        *_printed_jpeg_columns(),
        *_printed_malvar_column(),
    ]  # fmt: skip
    order = list(dict.fromkeys((golden.dataset, golden.task, golden.protocol) for golden in values))
    return sorted(values, key=lambda g: order.index((g.dataset, g.task, g.protocol)))


def check_golden(
    values: list[Golden], on_value: Callable[[Golden], None] = lambda golden: None
) -> list[Finding]:
    """Measure golden values; what belongs to one evaluation is evaluated once.

    Args:
        values: Golden values.
        on_value: Told each value before it is measured.
    """
    measured: dict[tuple[str, str, str], dict[str, float | None]] = {}
    findings = []
    for golden in values:
        on_value(golden)
        try:
            dataset = load_dataset(golden.dataset)
        except DatasetNotFound as error:
            findings.append(Finding(golden, "ABSENT", reason=str(error)))
            continue
        if len(dataset) != golden.images:
            reason = f"{dataset.coverage} images here, the value is of {golden.images}"
            findings.append(Finding(golden, "ABSENT", reason=reason))
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


def _judge(golden: Golden, value: float | None) -> Finding:
    if value is None:
        return Finding(golden, "DIFFERS", reason="no image has a finite value")
    # A difference of exactly the tolerance must not depend on how decimals round to binary.
    holds = abs(value - golden.value) <= golden.tolerance + 1e-9
    return Finding(golden, "HOLDS" if holds else "DIFFERS", value)


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
