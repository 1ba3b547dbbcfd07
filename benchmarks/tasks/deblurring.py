"""Deblurring: images of a camera that moved, or of a physical model of one."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.data.images import Image
from benchmarks.tasks.metrics import ssim_3d
from benchmarks.tasks.protocols import PERCEPTUAL, PSNR, SSIM, Column, Protocol
from benchmarks.tasks.synthesis import Array, convolve, decode_srgb, encode_srgb, seed_of
from benchmarks.tasks.task import Degradation, Generator, PatchRule, Task

_SHAKE_STEPS = 64
# Extent of a trajectory as a fraction of the image's smaller side, and in pixels at least.
_SHORTEST_SHAKE, _LONGEST_SHAKE = 0.01, 0.03
_LEAST_SHAKE = 3.0


def shake_camera(target: Image, name: str) -> Image:
    """Blur by a hand-held camera during the exposure.

    The camera's angular velocity is a random walk with a pull back to rest (Boracchi and Foi 2012,
    "Modeling the Performance of Image Restoration From Motion Blur"); the scene is far away, so the
    image moves as a whole and each pixel collects the light along the trajectory.

    Args:
        target: uint8 [H, W, 3] or [H, W].
        name: seeds the trajectory.

    Returns:
        uint8 of the same shape.
    """
    kernel = shake_kernel(seed_of("shake", name), min(target.shape[:2]))
    return blur_exposure(target, kernel)


def blur_exposure(target: Image, kernel: Array) -> Image:
    """Collect the light along the trajectory of a camera.

    Args:
        target: uint8 [H, W, 3] or [H, W].
        kernel: as from `shake_kernel`.

    Returns:
        uint8 of the same shape.
    """
    return encode_srgb(convolve(decode_srgb(target), kernel))


def longest_shake(side: int) -> float:
    """Largest extent of a trajectory in pixels, in an image whose smaller side is `side`."""
    return max(_LEAST_SHAKE, _LONGEST_SHAKE * side)


def shake_kernel(rng: np.random.Generator, side: int) -> Array:
    """Share of the exposure that the image spends at each displacement.

    Args:
        rng: draws the trajectory.
        side: smaller side of the image; the trajectory spans 1 to 3 % of it, 3 pixels at least.

    Returns:
        float64 [n, n], n odd, not negative, of sum 1, its centroid in the middle.
    """
    velocity, pull = np.zeros(2), 0.05
    steps = np.empty((_SHAKE_STEPS, 2))
    for step in range(_SHAKE_STEPS):
        velocity = (1 - pull) * velocity + rng.normal(0, 1, 2)
        steps[step] = velocity
    path = np.cumsum(steps, axis=0)
    path -= path.mean(axis=0)
    extent = max(_LEAST_SHAKE, side * rng.uniform(_SHORTEST_SHAKE, _LONGEST_SHAKE))
    path *= extent / np.ptp(path, axis=0).max()
    # Points along the way are dense enough to leave no gaps, and shared among four pixels each.
    times = np.linspace(0, _SHAKE_STEPS - 1, 8 * _SHAKE_STEPS)
    points = np.stack([np.interp(times, range(_SHAKE_STEPS), axis) for axis in path.T], axis=1)
    points -= points.mean(axis=0)
    reach = int(np.ceil(np.abs(points).max())) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    corner = np.floor(points).astype(int)
    share = points - corner
    for dy in (0, 1):
        for dx in (0, 1):
            weight = np.abs(1 - dy - share[:, 0]) * np.abs(1 - dx - share[:, 1])
            np.add.at(kernel, (corner[:, 0] + dy + reach, corner[:, 1] + dx + reach), weight)
    return kernel / kernel.sum()


def _shake_patch(patch: Image, rng: Generator, side: int, level: float) -> Image:
    return blur_exposure(patch, shake_kernel(rng, side))


TASKS = (
    Task(
        family="deblur",
        channels=3,
        degradations={"shake": Degradation("synthetic-shake", 1, shake_camera)},
        protocols=(
            Protocol(
                name="deblur-rgb",
                color="rgb",
                columns=(PSNR, SSIM),
                source="Restormer (Zamir et al. 2022), with the SSIM of each channel",
            ),
            Protocol(
                name="deblur-rgb-ssim-3d",
                color="rgb",
                columns=(PSNR, Column(ssim_3d)),
                source="MPRNet (Zamir et al. 2021), its MATLAB script",
            ),
            PERCEPTUAL,
        ),
        test_sets=("BSDS500-val",),
        patches=PatchRule(_shake_patch, margin=lambda side: math.ceil(longest_shake(side)) + 1),
    ),
)
