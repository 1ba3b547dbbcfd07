"""How the input of a training patch is made from its target.

Noise, compression, mosaic and blur are made anew for every patch, from the patch and what lies
around it, so no border of a patch shows. Everything else (reduction for super-resolution, weather)
needs the whole image and is made once per image and task, and kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.data.images import Image
from benchmarks.tasks.degradations import Input, compress_jpeg, interpolate_mosaic
from benchmarks.tasks.synthesis import blur_exposure, longest_shake, shake_kernel
from benchmarks.tasks.task import Task
from kgt.network.deconvolution import append_undone

Generator = np.random.Generator
# Malvar's filters reach 2 pixels far; an even margin keeps the mosaic's phase.
_MOSAIC_MARGIN = 4


@dataclass(frozen=True)
class PatchRule:
    """A degradation of patches.

    Attributes:
        margin: pixels on each side of a patch that its input depends on, of an image whose smaller
            side is given.
        degrade: makes the input, of the same size, of a patch with its margin [p, p, C] uint8,
            drawing from the generator; further arguments are the smaller side of the image and the
            level.
    """

    margin: Callable[[int], int]
    degrade: Callable[[Image, Generator, int, float], Input]


def find_patch_rule(task: Task) -> PatchRule | None:
    """The rule by which patches of a task are degraded; None where whole images are."""
    for key, rule in _RULES.items():
        if key == task.name or key in task.conditions:
            return rule
    return None


def shake_whole(target: Image, rng: Generator) -> Image:
    """An image [H, W, C] after a shake, as a network that deconvolves sees it: [H, W, 2 * C]."""
    blurred = blur_exposure(target, shake_kernel(rng, min(target.shape[:2])))
    planes = torch.from_numpy(blurred).permute(2, 0, 1)[None]
    return append_undone(planes)[0].permute(1, 2, 0).contiguous().numpy()


def level_of(task: Task) -> float:
    """Level of degradation that a task stands for; 0 where it has none."""
    return float(task.conditions.get("sigma", task.conditions.get("quality", 0)))


def _add_noise(patch: Image, rng: Generator, side: int, sigma: float) -> Input:
    noise = rng.standard_normal(patch.shape, dtype=np.float32)
    return patch / np.float32(255) + np.float32(sigma / 255) * noise


def _compress(patch: Image, rng: Generator, side: int, quality: float) -> Input:
    return compress_jpeg(patch, "", quality=round(quality))


def _sample_mosaic(patch: Image, rng: Generator, side: int, level: float) -> Input:
    return interpolate_mosaic(patch, "")


def _shake(patch: Image, rng: Generator, side: int, level: float) -> Input:
    return blur_exposure(patch, shake_kernel(rng, side))


_RULES = {
    "sigma": PatchRule(lambda side: 0, _add_noise),
    "quality": PatchRule(lambda side: 0, _compress),
    "demosaic": PatchRule(lambda side: _MOSAIC_MARGIN, _sample_mosaic),
    "deblur": PatchRule(lambda side: math.ceil(longest_shake(side)) + 1, _shake),
}
