"""Denoising: white Gaussian noise as three papers draw it."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Literal

import numpy as np

from benchmarks.data.images import Image
from benchmarks.tasks.protocols import GRL, PERCEPTUAL, PSNR, SSIM, SSIM_SAME_ZERO, SWINIR, Protocol
from benchmarks.tasks.task import Degradation, Generator, Input, Level, PatchRule, Task

NoiseRule = Literal["swinir", "restormer", "grl"]
_GRAY_RULES: tuple[NoiseRule, ...] = ("swinir", "grl")
_COLOR_RULES: tuple[NoiseRule, ...] = ("swinir", "restormer", "grl")


def add_noise(target: Image, name: str, *, sigma: float, rule: NoiseRule) -> Input:
    """White Gaussian noise on [0, 1], neither clipped nor rounded.

    Each rule is that of the test script of its authors: SwinIR (Liang et al. 2021) seeds numpy
    with 0 and draws for [H, W, BGR], Restormer (Zamir et al. 2022) for [H, W, RGB]; GRL (Li et al.
    2023) seeds with the SHA-256 of the file name up to its first underscore, as eight words, and
    draws for [RGB, H, W]. On gray images the first two are one.

    Args:
        target: uint8 [H, W, 3] or [H, W].
        name: stem of the image file; the published files are PNG.
        sigma: standard deviation on the scale of 0..255.
        rule: seed and order of the channels.

    Returns:
        float32 [H, W, 3] or [H, W].
    """
    if rule == "grl":
        digest = hashlib.sha256(f"{name}.png".split("_")[0].encode()).digest()
        state = np.random.RandomState(np.frombuffer(digest, dtype="<u4"))
        planes = np.atleast_3d(target)
        noise = state.normal(0, sigma / 255, np.moveaxis(planes, -1, 0).shape)
        noise = np.moveaxis(noise, 0, -1).reshape(target.shape)
    else:
        noise = np.random.RandomState(0).normal(0, sigma / 255, target.shape)
        if rule == "swinir" and target.ndim == 3:
            noise = noise[..., ::-1]
    return (target.astype(np.float32) / np.float32(255) + noise).astype(np.float32)


def add_noise_to_patch(patch: Image, rng: Generator, side: int, sigma: float) -> Input:
    """White Gaussian noise on a training patch, see `PatchRule`."""
    noise = rng.standard_normal(patch.shape, dtype=np.float32)
    return patch / np.float32(255) + np.float32(sigma / 255) * noise


_GRAY = (
    Protocol("denoise-gray-swinir", "gray", (PSNR, SSIM), SWINIR, degradation="swinir"),
    Protocol(
        name="denoise-gray-grl",
        color="gray",
        columns=(PSNR, SSIM_SAME_ZERO),
        source=GRL,
        degradation="grl",
        sizing="crop-8",
    ),
    PERCEPTUAL,
)
_COLOR = (
    Protocol("denoise-color-swinir", "rgb", (PSNR, SSIM), SWINIR, degradation="swinir"),
    Protocol(
        name="denoise-color-restormer",
        color="rgb",
        columns=(PSNR, SSIM),
        source="test_gaussian_color_denoising.py of Restormer (Zamir et al. 2022)",
        degradation="restormer",
    ),
    Protocol(
        name="denoise-color-grl",
        color="rgb",
        columns=(PSNR, SSIM_SAME_ZERO),
        source=GRL,
        degradation="grl",
        sizing="crop-8",
    ),
    PERCEPTUAL,
)

_COLOR_SETS = ("CBSD68", "McMaster", "Urban100")
# Levels of the papers, and others to ask how a network does at those that it never saw.
_PRINTED, _BETWEEN = (15, 25, 50), (10, 35, 75)

TASKS = tuple(
    Task(
        family=family,
        level=Level("sigma", "s", sigma),
        channels=channels,
        degradations={
            rule: Degradation(f"noise-{rule}", 1, partial(add_noise, sigma=sigma, rule=rule))
            for rule in rules
        },
        protocols=protocols,
        luma=luma,
        test_sets=test_sets,
        patches=PatchRule(add_noise_to_patch),
    )
    # SwinIR's script reads color files by OpenCV's IMREAD_GRAYSCALE, which is "y-full".
    for family, channels, luma, rules, protocols, test_sets, levels in (
        ("denoise-gray", 1, "y-full", _GRAY_RULES, _GRAY, ("Set12", "BSD68"), _PRINTED),
        ("denoise-color", 3, "", _COLOR_RULES, _COLOR, _COLOR_SETS, (*_PRINTED, *_BETWEEN)),
    )
    for sigma in levels
)
