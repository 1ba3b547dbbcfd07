"""Named, versioned rules that turn a prediction and its target into scores.

"PSNR" alone spans more than a decibel by definition: a score without its protocol means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.data.images import Image
from benchmarks.tasks.colors import COLORS
from benchmarks.tasks.metrics import (
    PEAK,
    Array,
    psnr,
    psnr_b,
    ssim_3d,
    ssim_same_zero,
    ssim_valid,
)
from benchmarks.tasks.perceptual import lpips_alex, lpips_unavailable_reason

METRICS: dict[str, Callable[[Array, Array], float]] = {
    "psnr": psnr,
    "psnr-b": psnr_b,
    "ssim-valid": ssim_valid,
    "ssim-same-zero": ssim_same_zero,
    "ssim-3d": ssim_3d,
    "lpips-alex": lpips_alex,
}
UNAVAILABLE: dict[str, Callable[[], str]] = {"lpips-alex": lpips_unavailable_reason}


class Column(NamedTuple):
    """One score of a protocol: its name, the key of `METRICS`, and of `COLORS` if of its own."""

    name: str
    metric: str
    color: str = ""


@dataclass(frozen=True)
class Protocol:
    """How an input is prepared and a prediction scored.

    Change any rule, and the version must go up.

    Attributes:
        name: Registry name.
        version: Counts the changes of the rules.
        color: Key of `COLORS`: the space and range that the metrics see.
        columns: The scores.
        source: Where the definition comes from.
        border: Pixels cropped from each side before the metric, or "scale" for the task's scale.
        degradation: The task's degradation that this protocol asks for, so far the rule by which
            noise is drawn; empty for the task's default.
        sizing: Key of `SIZINGS`: how images are cropped or resized before anything else.
        rounding: Rule that turns the prediction into 8 bits before the metric.
        padding: Who pads the input: "network" pads to its own size multiple and crops the output.
    """

    name: str
    version: int
    color: str
    columns: tuple[Column, ...]
    source: str
    border: int | Literal["scale"] = 0
    degradation: str = ""
    sizing: str = "native"
    rounding: Literal["half-up-uint8"] = "half-up-uint8"
    padding: Literal["network"] = "network"

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def text(self) -> str:
        """The rules in one line, for the footnote of a table."""
        size = "" if self.sizing == "native" else f"images sized by {self.sizing}; "
        noise = f"noise drawn as by {self.degradation}; " if self.degradation else ""
        return (
            f"{self}: {size}{noise}prediction clipped to [0, 1], rounded {self.rounding}; "
            f"{self.color}, peak {PEAK:g}; border crop {self.border}; "
            f"input padded by the {self.padding}; {', '.join(map(_describe, self.columns))}; "
            f"mean over images, PSNR of identical images left out; after {self.source}"
        )

    def unavailable(self) -> dict[str, str]:
        """Why columns cannot be computed on this machine, by their names."""
        reasons = {
            column.name: UNAVAILABLE[column.metric]()
            for column in self.columns
            if column.metric in UNAVAILABLE
        }
        return {name: reason for name, reason in reasons.items() if reason}

    def score(
        self, prediction: npt.NDArray[np.floating[Any]], target: Image, scale: int
    ) -> dict[str, float]:
        """Score one prediction.

        Args:
            prediction: float [H, W, C] or [H, W], nominally in [0, 1].
            target: uint8 [H, W, 3] (RGB) or [H, W] (gray).
            scale: Scale of the task, for the border crop.

        Returns:
            Value by column name, without those that are `unavailable`; PSNR is infinite where the
            images are identical.

        Raises:
            ValueError: Sizes differ, values are not finite, or the crop leaves too little.
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
                scores[column.name] = METRICS[column.metric](result, truth)
        return scores


def _describe(column: Column) -> str:
    details = [column.metric] * (column.metric != column.name)
    details += [f"of {column.color}"] * bool(column.color)
    return f"{column.name} ({' '.join(details)})" if details else column.name


def quantize(image: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Clip to [0, 1], scale to 0..255 and round half up.

    Raises:
        ValueError: A value is NaN or infinite.
    """
    if not np.isfinite(image).all():
        raise ValueError(f"the prediction has {np.sum(~np.isfinite(image))} NaN or infinite values")
    return np.floor(image.astype(np.float64).clip(0, 1) * 255 + 0.5).astype(np.uint8)


def crop_border(image: Array, border: int) -> Array:
    """Drop `border` pixels on each side of [H, W, ...]."""
    height, width = image.shape[:2]
    return image[border : height - border, border : width - border]


_PSNR = Column("psnr", "psnr")
_SSIM = Column("ssim", "ssim-valid")
_SSIM_SAME_ZERO = Column("ssim", "ssim-same-zero")
_PSNR_B = Column("psnr_b", "psnr-b")

_SWINIR = "main_test_swinir.py of SwinIR (Liang et al. 2021)"
_RESTORMER = "test_gaussian_color_denoising.py of Restormer (Zamir et al. 2022)"
_GRL = "GRL (Li et al. 2023), its metrics and data sets"
_FBCNN = "SwinIR (Liang et al. 2021) and FBCNN (Jiang et al. 2021), their test scripts"

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="sr-y601-crop-scale",
            version=1,
            color="y601-studio-float",
            columns=(_PSNR, _SSIM),
            source=_SWINIR,
            border="scale",
        ),
        Protocol(
            name="sr-y601-crop-scale-ssim-same-zero",
            version=1,
            color="y601-studio-float",
            columns=(_PSNR, _SSIM_SAME_ZERO),
            source=_GRL,
            border="scale",
        ),
        Protocol(
            name="sr-rgb-crop-scale",
            version=1,
            color="rgb",
            columns=(_PSNR, _SSIM),
            source=_SWINIR,
            border="scale",
        ),
        Protocol(
            name="denoise-gray-swinir",
            version=1,
            color="gray",
            columns=(_PSNR, _SSIM),
            source=_SWINIR,
            degradation="swinir",
        ),
        Protocol(
            name="denoise-gray-grl",
            version=1,
            color="gray",
            columns=(_PSNR, _SSIM_SAME_ZERO),
            source=_GRL,
            degradation="grl",
            sizing="crop-8",
        ),
        Protocol(
            name="denoise-color-swinir",
            version=1,
            color="rgb",
            columns=(_PSNR, _SSIM),
            source=_SWINIR,
            degradation="swinir",
        ),
        Protocol(
            name="denoise-color-restormer",
            version=1,
            color="rgb",
            columns=(_PSNR, _SSIM),
            source=_RESTORMER,
            degradation="restormer",
        ),
        Protocol(
            name="denoise-color-grl",
            version=1,
            color="rgb",
            columns=(_PSNR, _SSIM_SAME_ZERO),
            source=_GRL,
            degradation="grl",
            sizing="crop-8",
        ),
        Protocol(
            name="jpeg-gray",
            version=1,
            color="gray",
            columns=(_PSNR, _SSIM, _PSNR_B),
            source=_FBCNN,
        ),
        Protocol(
            name="jpeg-gray-ssim-same-zero",
            version=1,
            color="gray",
            columns=(_PSNR, _SSIM_SAME_ZERO, _PSNR_B),
            source=_GRL,
        ),
        Protocol(
            name="jpeg-color",
            version=1,
            color="rgb",
            columns=(_PSNR, _SSIM, _PSNR_B),
            source=_FBCNN,
        ),
        Protocol(
            name="jpeg-color-ssim-same-zero",
            version=1,
            color="rgb",
            columns=(_PSNR, _SSIM_SAME_ZERO, _PSNR_B),
            source=_GRL,
        ),
        Protocol(
            name="demosaic-border0",
            version=1,
            color="rgb",
            columns=(_PSNR, _SSIM),
            source="RNAN (Zhang et al. 2019) and GRL (Li et al. 2023)",
        ),
        Protocol(
            name="demosaic-border10",
            version=1,
            color="rgb",
            columns=(_PSNR, _SSIM),
            source="DPIR (Zhang et al. 2021)",
            border=10,
        ),
        Protocol(
            name="deblur-rgb",
            version=1,
            color="rgb",
            columns=(_PSNR, _SSIM),
            source="Restormer (Zamir et al. 2022), with the SSIM of each channel",
        ),
        Protocol(
            name="deblur-rgb-ssim-3d",
            version=1,
            color="rgb",
            columns=(_PSNR, Column("ssim", "ssim-3d")),
            source="MPRNet (Zamir et al. 2021), its MATLAB script",
        ),
        Protocol(
            name="native",
            version=1,
            color="rgb",
            columns=(
                _PSNR,
                _SSIM,
                Column("psnr_y", "psnr", "y601-studio-float"),
                Column("ssim_y", "ssim-valid", "y601-studio-float"),
            ),
            source="the weather papers, which leave open whether RGB or luma is meant",
        ),
        Protocol(
            name="transweather-resize16",
            version=1,
            color="rgb",
            columns=(
                _PSNR,
                _SSIM,
                Column("psnr_y", "psnr", "y-full"),
                Column("ssim_y", "ssim-valid", "y-full"),
            ),
            source="the validation code of TransWeather (Valanarasu et al. 2022)",
            sizing="transweather-resize16",
        ),
        Protocol(
            name="rgb-lpips",
            version=1,
            color="rgb",
            columns=(_PSNR, Column("lpips", "lpips-alex")),
            source="LPIPS 0.1 with AlexNet (Zhang et al. 2018)",
        ),
    )
}


def list_protocols() -> list[str]:
    """Names of the protocols, sorted."""
    return sorted(PROTOCOLS)


def get_protocol(name: str) -> Protocol:
    """Look a protocol up by name.

    Raises:
        ValueError: Unknown name.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"unknown protocol {name!r}; valid names: {', '.join(list_protocols())}")
    return PROTOCOLS[name]
