"""Physical models of camera shake and weather, for sets that ship no degraded images.

Light adds up in linear intensities, so every model decodes the sRGB curve, works there, and encodes
again. All randomness is drawn from the image's name. Lengths are fractions of the image's smaller
side. These inputs train and compare networks; they stand for no published test set.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.data.images import Image

Array = npt.NDArray[Any]

_SHAKE_STEPS = 64
# Extent of a trajectory as a fraction of the image's smaller side, and in pixels at least.
_SHORTEST_SHAKE, _LONGEST_SHAKE = 0.01, 0.03
_LEAST_SHAKE = 3.0


def decode_srgb(image: npt.NDArray[np.uint8]) -> Array:
    """Linear intensities in [0, 1] of sRGB pixels (IEC 61966-2-1)."""
    value = image / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def encode_srgb(light: Array) -> npt.NDArray[np.uint8]:
    """Pixels of linear intensities; clipped to [0, 1], rounded half up."""
    light = light.clip(0, 1)
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.floor(value * 255 + 0.5).astype(np.uint8)


def seed_of(kind: str, name: str) -> np.random.Generator:
    """A generator that depends on the kind of degradation and the name of the image alone."""
    digest = hashlib.sha256(f"{kind}/{name}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype="<u4"))


def shake_camera(target: Image, name: str) -> Image:
    """Blur by a hand-held camera during the exposure.

    The camera's angular velocity is a random walk with a pull back to rest (Boracchi and Foi 2012,
    "Modeling the Performance of Image Restoration From Motion Blur"); the scene is far away, so the
    image moves as a whole and each pixel collects the light along the trajectory.

    Args:
        target: uint8 [H, W, 3] or [H, W].
        name: Seeds the trajectory.

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
    return encode_srgb(_convolve(decode_srgb(target), kernel))


def longest_shake(side: int) -> float:
    """Largest extent of a trajectory in pixels, in an image whose smaller side is `side`."""
    return max(_LEAST_SHAKE, _LONGEST_SHAKE * side)


def shake_kernel(rng: np.random.Generator, side: int) -> Array:
    """Share of the exposure that the image spends at each displacement.

    Args:
        rng: Draws the trajectory.
        side: Smaller side of the image; the trajectory spans 1 to 3 % of it, 3 pixels at least.

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


def add_rain(target: Image, name: str) -> Image:
    """Fog that thickens with depth, and streaks of rain in front of it.

    Args:
        target: uint8 [H, W, 3] or [H, W].
        name: Seeds depth, fog and streaks.

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
        light: Linear intensities [H, W, 3] or [H, W].
        depth: Distance [H, W].
        extinction: Extinction coefficient per unit of depth.
        airlight: Linear intensity of the fog.

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
    line = _blur(line, 0.5)
    # A drop covers a pixel for the share of the exposure in which it passes.
    return 1 - np.exp(-0.5 * _convolve(drops, line / line.max()).clip(min=0))


def add_snow(target: Image, name: str) -> Image:
    """Layers of flakes, from many small far ones to few large near ones out of focus.

    Args:
        target: uint8 [H, W, 3] or [H, W].
        name: Seeds the flakes.

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
    ragged = _blur(seeds, sigma) * 2 * np.pi * sigma**2 * rng.uniform(0.6, 1.4, (height, width))
    return _blur(ragged.clip(0, 1), max(0.5, radius / 4)).clip(0, 1)


def cover(light: Array, coverage: Array, brightness: float) -> Array:
    """Particles in front of a scene: each hides what is behind it and adds its own light.

    Args:
        light: Linear intensities [H, W, 3] or [H, W].
        coverage: Opacity [H, W] in [0, 1].
        brightness: Linear intensity of the particles.
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
        name: Seeds the drops.

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
        light: Linear intensities [H, W, 3] or [H, W].
        drops: Later ones lie on earlier ones.

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
        _blur(light, 1 + 0.005 * min(height, width)),
        from_column.astype(np.float32),
        from_row.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return 0.9 * np.asarray(seen), opacity


def _convolve(light: Array, kernel: Array) -> Array:
    flipped = np.ascontiguousarray(kernel[::-1, ::-1])
    return np.asarray(cv2.filter2D(light, -1, flipped, borderType=cv2.BORDER_REFLECT_101))


def _blur(light: Array, sigma: float) -> Array:
    return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma))
