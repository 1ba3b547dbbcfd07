"""Demosaicking: the color image of a sensor that sees one color per pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.data.images import Image, round_half_up
from benchmarks.tasks.protocols import PERCEPTUAL, PSNR, SSIM, Protocol
from benchmarks.tasks.task import Degradation, Generator, PatchRule, Task

# Malvar's filters reach 2 pixels far; an even margin keeps the mosaic's phase.
_MARGIN = 4


def interpolate_mosaic(target: Image, name: str) -> Image:
    """Sample an RGGB Bayer mosaic (red at 0, 0) and interpolate it by Malvar et al. 2004.

    Of each pixel the sensor's own sample is in the result as it was, so any other demosaicking can
    read the mosaic back out of it.

    Args:
        target: uint8 [H, W, 3].
        name: not used.

    Returns:
        uint8 [H, W, 3], rounded half up.
    """
    # Imported here: commands start without torch.
    import torch

    from kgt.pictures.mosaic import interpolate_malvar

    mosaic = torch.from_numpy(sample_mosaic(target).astype(np.float32))
    interpolated = interpolate_malvar(mosaic).permute(1, 2, 0).numpy()
    return round_half_up(interpolated.clip(0, 255))


def sample_mosaic(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The samples [H, W] that a sensor with an RGGB filter takes of [H, W, 3]."""
    mosaic = image[..., 1].copy()
    mosaic[::2, ::2] = image[::2, ::2, 0]
    mosaic[1::2, 1::2] = image[1::2, 1::2, 2]
    return mosaic


def _interpolate_patch(patch: Image, rng: Generator, side: int, level: float) -> Image:
    return interpolate_mosaic(patch, "")


TASKS = (
    Task(
        family="demosaic",
        channels=3,
        degradations={"bayer": Degradation("bayer-rggb-malvar", 1, interpolate_mosaic)},
        protocols=(
            Protocol(
                name="demosaic-border0",
                color="rgb",
                columns=(PSNR, SSIM),
                source="RNAN (Zhang et al. 2019) and GRL (Li et al. 2023)",
            ),
            Protocol(
                "demosaic-border10", "rgb", (PSNR, SSIM), "DPIR (Zhang et al. 2021)", border=10
            ),
            PERCEPTUAL,
        ),
        reference="malvar",
        test_sets=("McMaster", "CBSD68", "Urban100"),
        patches=PatchRule(_interpolate_patch, margin=lambda side: _MARGIN),
    ),
)
