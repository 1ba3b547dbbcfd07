"""Denoising of twin patches: a key-graph that finds a distant twin restores what no other can."""

from __future__ import annotations

import math
from functools import partial

from benchmarks.data.twins import CONTRAST, TESTS, Layout
from benchmarks.tasks.denoising import add_noise, add_noise_to_patch
from benchmarks.tasks.metrics import psnr_of_patches
from benchmarks.tasks.protocols import Column, Protocol
from benchmarks.tasks.task import Degradation, Level, PatchRule, Task

SIGMA = 15


def find_gain(layout: Layout, *, with_twin: bool) -> float:
    """PSNR in dB that the best estimate of the patches gains over the noisy input.

    A texture is normal with variance c^2, and each look at it adds noise of variance s^2. The mean
    given m looks has the error 1 / (1 / c^2 + m / s^2) (normal prior and likelihood), so it gains
    the factor m + s^2 / c^2. A patch has one look at itself, and a second one at its twin.

    Args:
        layout: which share of the patches has a twin.
        with_twin: whether twins are known; without them a patch can only be shrunk to the mean.
    """
    shrinkage = (SIGMA / CONTRAST) ** 2
    share = 2 * layout.pairs / layout.patches if with_twin else 0.0
    error = share / (2 + shrinkage) + (1 - share) / (1 + shrinkage)
    return -10 * math.log10(error)


# Seeded by the name of the image: the rule of GRL.
_RULE = "grl"
TASKS = (
    Task(
        family="twins",
        level=Level("sigma", "s", SIGMA),
        channels=3,
        degradations={
            _RULE: Degradation(f"noise-{_RULE}", 1, partial(add_noise, sigma=SIGMA, rule="grl"))
        },
        protocols=(Protocol("twins-patches", "rgb", (Column(psnr_of_patches),), "ours"),),
        test_sets=tuple(TESTS),
        patches=PatchRule(add_noise_to_patch),
    ),
)
