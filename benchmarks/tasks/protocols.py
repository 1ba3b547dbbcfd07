"""Named, versioned rules that turn a prediction and its target into scores.

"PSNR" alone spans more than a decibel by definition: a score without its protocol means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.data.images import Image, round_half_up
from benchmarks.tasks.colors import COLORS
from benchmarks.tasks.metrics import (
    PEAK,
    Array,
    Metric,
    psnr,
    psnr_b,
    ssim_same_zero,
    ssim_valid,
)
from benchmarks.tasks.perceptual import lpips_alex


class Column(NamedTuple):
    """One score of a protocol.

    Attributes:
        metric: what computes it.
        color: key of `COLORS` that it alone sees; empty for the protocol's.
        alias: its name in records where that is not the metric's.
    """

    metric: Metric
    color: str = ""
    alias: str = ""

    @property
    def name(self) -> str:
        """Its name in records, and what people call it in lower case."""
        return self.alias or self.metric.key

    def __str__(self) -> str:
        details = [self.metric.name] * (self.metric.name != self.name)
        details += [f"of {self.color}"] * bool(self.color)
        return f"{self.name} ({' '.join(details)})" if details else self.name


@dataclass(frozen=True)
class Protocol:
    """How an input is prepared and a prediction scored.

    Change any rule, and the version must go up. Common to all: the network pads its input to its
    own size multiple, and its output is rounded by `quantize`.

    Attributes:
        name: its registry name.
        color: key of `COLORS`: the space and range that the metrics see.
        columns: the scores.
        source: where the definition comes from.
        version: counts the changes of the rules.
        border: pixels cropped from each side before the metric, or "scale" for the task's scale.
        degradation: the task's degradation that this protocol asks for, so far the rule by which
            noise is drawn; empty for the task's default.
        sizing: key of `SIZINGS`: how images are cropped or resized before anything else.
    """

    name: str
    color: str
    columns: tuple[Column, ...]
    source: str
    version: int = 1
    border: int | Literal["scale"] = 0
    degradation: str = ""
    sizing: str = "native"

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def text(self) -> str:
        """The rules in one line, for the footnote of a table."""
        size = "" if self.sizing == "native" else f"images sized by {self.sizing}; "
        noise = f"noise drawn as by {self.degradation}; " if self.degradation else ""
        return (
            f"{self}: {size}{noise}prediction clipped to [0, 1], rounded half-up-uint8; "
            f"{self.color}, peak {PEAK:g}; border crop {self.border}; "
            f"input padded by the network; {', '.join(map(str, self.columns))}; "
            f"mean over images, PSNR of identical images left out; after {self.source}"
        )

    def unavailable(self) -> dict[str, str]:
        """Why columns cannot be computed on this machine, by their names."""
        reasons = {column.name: column.metric.unavailable() for column in self.columns}
        return {name: reason for name, reason in reasons.items() if reason}

    def score(
        self, prediction: npt.NDArray[np.floating[Any]], target: Image, scale: int
    ) -> dict[str, float]:
        """Score one prediction.

        Args:
            prediction: float [H, W, C] or [H, W], nominally in [0, 1].
            target: uint8 [H, W, 3] (RGB) or [H, W] (gray).
            scale: scale of the task, for the border crop.

        Returns:
            Value by column name, without those that are `unavailable`; PSNR is infinite where the
            images are identical.

        Raises:
            ValueError: sizes differ, values are not finite, or the crop leaves too little.
        """
        if prediction.shape[:2] != target.shape[:2]:
            raise ValueError(
                f"prediction of shape {prediction.shape}, target of shape {target.shape}"
            )
        border = scale if self.border == "scale" else self.border
        missing = self.unavailable()
        pixels = quantize(prediction)
        scores = {}
        for column in self.columns:
            if column.name not in missing:
                convert = COLORS[column.color or self.color]
                result = crop_border(convert(pixels), border)
                truth = crop_border(convert(target), border)
                scores[column.name] = column.metric(result, truth)
        return scores


def quantize(image: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Clip to [0, 1], scale to 0..255 and round half up.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    if not np.isfinite(image).all():
        raise ValueError(f"the prediction has {np.sum(~np.isfinite(image))} NaN or infinite values")
    return round_half_up(image.astype(np.float64).clip(0, 1) * 255)


def crop_border(image: Array, border: int) -> Array:
    """Drop `border` pixels on each side of [H, W, ...]."""
    height, width = image.shape[:2]
    return image[border : height - border, border : width - border]


PSNR, SSIM, SSIM_SAME_ZERO, PSNR_B = map(Column, (psnr, ssim_valid, ssim_same_zero, psnr_b))

# Sources of protocols of several tasks.
SWINIR = "main_test_swinir.py of SwinIR (Liang et al. 2021)"
GRL = "GRL (Li et al. 2023), its metrics and data sets"

PERCEPTUAL = Protocol(
    "rgb-lpips", "rgb", (PSNR, Column(lpips_alex)), "LPIPS 0.1 with AlexNet (Zhang et al. 2018)"
)
