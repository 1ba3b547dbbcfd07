"""Named, versioned rules that turn a prediction and its target into scores.

"PSNR" alone spans more than a decibel by definition: a score without its protocol means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from benchmarks.quality.metrics import PEAK, Array, luma_bt601, psnr, ssim_valid

COLORS: dict[str, Callable[[npt.NDArray[np.uint8]], Array]] = {"y601-studio-float": luma_bt601}
METRICS: dict[str, Callable[[Array, Array], float]] = {"psnr": psnr, "ssim-valid": ssim_valid}


@dataclass(frozen=True)
class Protocol:
    """How a prediction is scored.

    Change any rule, and the version must go up.

    Attributes:
        name: Registry name.
        version: Counts the changes of the rules.
        color: Key of `COLORS`: the space and range that the metrics see.
        metrics: Pairs of column name and key of `METRICS`.
        border: Pixels cropped from each side before the metric, or "scale" for the task's scale.
        rounding: Rule that turns the prediction into 8 bits before the metric.
        padding: Who pads the input: "network" pads to its own size multiple and crops the output.
    """

    name: str
    version: int
    color: str
    metrics: tuple[tuple[str, str], ...]
    border: int | Literal["scale"]
    rounding: Literal["half-up-uint8"] = "half-up-uint8"
    padding: Literal["network"] = "network"

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def text(self) -> str:
        """The rules in one line, for the footnote of a table."""
        metrics = ", ".join(
            column if column == variant else f"{column} ({variant})"
            for column, variant in self.metrics
        )
        return (
            f"{self}: prediction clipped to [0, 1], rounded {self.rounding}; {self.color}, "
            f"peak {PEAK:g}; border crop {self.border}; input padded by the {self.padding}; "
            f"{metrics}; mean over images, PSNR of identical images left out"
        )

    def score(
        self, prediction: npt.NDArray[np.floating[Any]], target: npt.NDArray[np.uint8], scale: int
    ) -> dict[str, float]:
        """Score one prediction.

        Args:
            prediction: float [H, W, C] or [H, W], nominally in [0, 1].
            target: uint8 [H, W, 3] (RGB) or [H, W] (gray).
            scale: Scale of the task, for the border crop.

        Returns:
            Value by column name; PSNR is infinite where the images are identical.

        Raises:
            ValueError: Sizes differ, values are not finite, or the crop leaves too little.
        """
        if prediction.shape[:2] != target.shape[:2]:
            raise ValueError(
                f"prediction of shape {prediction.shape}, target of shape {target.shape}"
            )
        border = scale if self.border == "scale" else self.border
        convert = COLORS[self.color]
        result = crop_border(convert(quantize(prediction)), border)
        truth = crop_border(convert(target), border)
        return {column: METRICS[variant](result, truth) for column, variant in self.metrics}


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


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="sr-y601-crop-scale",
            version=1,
            color="y601-studio-float",
            metrics=(("psnr", "psnr"), ("ssim", "ssim-valid")),
            border="scale",
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
