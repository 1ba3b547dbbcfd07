"""Removal of rain, snow and raindrops, for sets that ship none by physical models of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.data.images import Image
from benchmarks.tasks.metrics import psnr, ssim_valid
from benchmarks.tasks.protocols import PERCEPTUAL, PSNR, SSIM, Column, Protocol
from benchmarks.tasks.synthesis import Array, blur, convolve, decode_srgb, encode_srgb, seed_of
from benchmarks.tasks.task import Degradation, Task


def add_rain(target: Image, name: str) -> Image:
    """Fog that thickens with depth, and streaks of rain in front of it.

    Args:
        target: uint8 [H, W, 3] or [H, W].
        name: seeds depth, fog and streaks.

    Returns:
        uint8 of the same shape.
    """
    rng = seed_of("rain", name)
    height, width = target.shape[:2]
    depth = draw_depth(rng, height, width)
    light = add_fog(decode_srgb(target), depth, rng.uniform(0.2, 0.8), rng.uniform(0.6, 0.9))
    streaks = draw_streaks(rng, height, width)
    return encode_srgb(cover(light, streaks, 0.9))


def draw_depth(rng: np.random.Generator, height: int, width: int) -> Array:
    """A plausible depth map [H, W] in [0, 1]: farther towards the top, with smooth relief."""
    coarse = rng.normal(0, 1, (4, 4))
    relief = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    slope = np.linspace(1, 0, height)[:, None]
    return (slope + 0.15 * relief).clip(0, 1)


def add_fog(light: Array, depth: Array, extinction: float, airlight: float) -> Array:
    """Koschmieder's law: what is not transmitted over the distance is replaced by airlight.

    Args:
        light: linear intensities [H, W, 3] or [H, W].
        depth: distance [H, W].
        extinction: extinction coefficient per unit of depth.
        airlight: linear intensity of the fog.

    Returns:
        light * t + airlight * (1 - t), where t = exp(-extinction * depth).
    """
    transmission = np.exp(-extinction * depth).reshape(*depth.shape, *(1,) * (light.ndim - 2))
    return light * transmission + airlight * (1 - transmission)


def draw_streaks(rng: np.random.Generator, height: int, width: int) -> Array:
    """Coverage [H, W] in [0, 1) of falling drops, blurred along their fall by the exposure."""
    side = min(height, width)
    angle = np.deg2rad(rng.uniform(-25, 25))
    length = max(3.0, side * rng.uniform(0.03, 0.07))
    drops = (rng.random((height, width)) < rng.uniform(0.004, 0.012)) * rng.uniform(
        0.5, 1.5, (height, width)
    )
    reach = int(np.ceil(length / 2)) + 1
    line = np.zeros((2 * reach + 1, 2 * reach + 1))
    for offset in np.linspace(-length / 2, length / 2, 4 * reach):
        y, x = reach + offset * np.cos(angle), reach + offset * np.sin(angle)
        line[round(y), round(x)] = 1
    line = blur(line, 0.5)
    # A drop covers a pixel for the share of the exposure in which it passes.
    return 1 - np.exp(-0.5 * convolve(drops, line / line.max()).clip(min=0))


def add_snow(target: Image, name: str) -> Image:
    """Layers of flakes, from many small far ones to few large near ones out of focus.

    Args:
        target: uint8 [H, W, 3] or [H, W].
        name: seeds the flakes.

    Returns:
        uint8 of the same shape.
    """
    rng = seed_of("snow", name)
    light = decode_srgb(target)
    height, width = target.shape[:2]
    for radius, density in ((0.003, 3e-3), (0.007, 6e-4), (0.015, 6e-5)):
        flakes = draw_flakes(rng, height, width, radius * min(height, width), density)
        light = cover(light, flakes, 0.95)
    return encode_srgb(light)


def draw_flakes(
    rng: np.random.Generator, height: int, width: int, radius: float, density: float
) -> Array:
    """Coverage [H, W] in [0, 1] of flakes of one distance, of `density` per pixel."""
    seeds = (rng.random((height, width)) < density) * rng.uniform(0.4, 1.0, (height, width))
    # Flakes are lumps, so their outline is that of noise above a threshold within a soft disc.
    sigma = max(0.6, radius)
    ragged = blur(seeds, sigma) * 2 * np.pi * sigma**2 * rng.uniform(0.6, 1.4, (height, width))
    return blur(ragged.clip(0, 1), max(0.5, radius / 4)).clip(0, 1)


def cover(light: Array, coverage: Array, brightness: float) -> Array:
    """Particles in front of a scene: each hides what is behind it and adds its own light.

    Args:
        light: linear intensities [H, W, 3] or [H, W].
        coverage: opacity [H, W] in [0, 1].
        brightness: linear intensity of the particles.
    """
    opacity = coverage.reshape(*coverage.shape, *(1,) * (light.ndim - 2))
    return light * (1 - opacity) + brightness * opacity


@dataclass(frozen=True)
class Drop:
    """A drop on the window: center and radius in pixels, as floats."""

    y: float
    x: float
    radius: float


def add_raindrops(target: Image, name: str) -> Image:
    """Drops on a window in front of the lens, each a small fisheye lens out of focus.

    Args:
        target: uint8 [H, W, 3] or [H, W].
        name: seeds the drops.

    Returns:
        uint8 of the same shape; pixels that no drop covers are unchanged.
    """
    rng = seed_of("raindrop", name)
    height, width = target.shape[:2]
    side = min(height, width)
    radii = side * rng.uniform(0.015, 0.06, rng.integers(15, 40))
    drops = [
        Drop(y, x, radius)
        for y, x, radius in zip(
            rng.uniform(0, height, radii.size),
            rng.uniform(0, width, radii.size),
            radii,
            strict=True,
        )
    ]
    light = decode_srgb(target)
    seen, opacity = refract(light, drops)
    opacity = opacity.reshape(height, width, *(1,) * (light.ndim - 2))
    mixed = encode_srgb(light * (1 - opacity) + seen * opacity)
    return np.where(opacity > 0, mixed, target)


def refract(light: Array, drops: list[Drop]) -> tuple[Array, Array]:
    """What is seen through the drops, and where.

    A drop is a thick lens that shows the scene upside down and smaller: the pixel at offset d from
    the center sees the scene at center - 6 d, mirrored into the image at its borders. A tenth of
    the light is lost on the way, and the drop, out of focus, has a soft rim.

    Args:
        light: linear intensities [H, W, 3] or [H, W].
        drops: later ones lie on earlier ones.

    Returns:
        The view through the drops, of the shape of `light`, and their opacity [H, W], zero
        outside of them.
    """
    height, width = light.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    from_row, from_column = rows.copy(), columns.copy()
    opacity = np.zeros((height, width))
    for drop in drops:
        dy, dx = rows - drop.y, columns - drop.x
        distance = np.hypot(dy, dx) / drop.radius
        inside = distance < 1
        from_row[inside] = (drop.y - 6 * dy)[inside]
        from_column[inside] = (drop.x - 6 * dx)[inside]
        opacity[inside] = np.maximum(opacity, np.clip((1 - distance) * 4, 0, 1))[inside]
    seen = cv2.remap(
        blur(light, 1 + 0.005 * min(height, width)),
        from_column.astype(np.float32),
        from_row.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return 0.9 * np.asarray(seen), opacity


def _columns(luma: str) -> tuple[Column, ...]:
    """Scores of RGB and, as the papers leave open which is meant, of a luma."""
    return (PSNR, SSIM, Column(psnr, luma, "psnr_y"), Column(ssim_valid, luma, "ssim_y"))


_PROTOCOLS = (
    Protocol(
        name="native",
        color="rgb",
        columns=_columns("y601-studio-float"),
        source="the weather papers, which leave open whether RGB or luma is meant",
    ),
    Protocol(
        name="transweather-resize16",
        color="rgb",
        columns=_columns("y-full"),
        source="the validation code of TransWeather (Valanarasu et al. 2022)",
        sizing="transweather-resize16",
    ),
    PERCEPTUAL,
)

TASKS = tuple(
    Task(
        family="weather",
        kind=kind,
        channels=3,
        degradations={kind: Degradation(f"synthetic-{kind}", 1, apply)},
        protocols=_PROTOCOLS,
        test_sets=("BSDS500-val",),
    )
    for kind, apply in (("rain", add_rain), ("snow", add_snow), ("raindrop", add_raindrops))
)
