"""From a clean image to a network's input, for all tasks whose inputs are computed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from baselines.demosaicking import interpolate_malvar
from baselines.imresize import imresize
from benchmarks.data.images import Image

# A network's input: uint8 in 0..255, or float32 on the scale of [0, 1] but not clipped to it.
Input = npt.NDArray[np.uint8] | npt.NDArray[np.float32]

NoiseRule = Literal["swinir", "restormer", "grl"]


@dataclass(frozen=True)
class Degradation:
    """How inputs are made.

    Change what it computes, and the version must go up.

    Attributes:
        name: What records call it.
        version: Counts the changes of its rule.
        apply: Makes the input from a target, uint8 [H, W, 3] or [H, W], and the image's name.
        codec: Library that does the work, where its version could change the pixels.
    """

    name: str
    version: int
    apply: Callable[[Image, str], Input]
    codec: Callable[[], str] | None = None

    def __str__(self) -> str:
        label = f"{self.name}@{self.version}"
        return f"{label} ({self.codec()})" if self.codec else label


def downscale(target: Image, name: str, *, scale: int) -> Image:
    """MATLAB's bicubic reduction of [H, W, ...] to [H / scale, W / scale, ...]."""
    return imresize(target, Fraction(1, scale))


def add_noise(target: Image, name: str, *, sigma: float, rule: NoiseRule) -> Input:
    """White Gaussian noise on [0, 1], neither clipped nor rounded.

    Each rule is that of the test script of its authors: SwinIR (Liang et al. 2021) seeds numpy
    with 0 and draws for [H, W, BGR], Restormer (Zamir et al. 2022) for [H, W, RGB]; GRL (Li et al.
    2023) seeds with the SHA-256 of the file name up to its first underscore, as eight words, and
    draws for [RGB, H, W]. On gray images the first two are one.

    Args:
        target: uint8 [H, W, 3] or [H, W].
        name: Stem of the image file; the published files are PNG.
        sigma: Standard deviation on the scale of 0..255.
        rule: Seed and order of the channels.

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


def compress_jpeg(target: Image, name: str, *, quality: int) -> Image:
    """Encode and decode as JPEG by OpenCV: gray, or color in 4:2:0; uint8 of the same shape."""
    if target.ndim == 2:
        return _encode_and_decode(target, quality, cv2.IMREAD_GRAYSCALE)
    bgr = _encode_and_decode(target[..., ::-1], quality, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(bgr[..., ::-1])


def _encode_and_decode(image: Image, quality: int, flag: int) -> Image:
    pixels = np.ascontiguousarray(image)
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, flag), dtype=np.uint8)


@cache
def jpeg_codec() -> str:
    """OpenCV's version and its JPEG library, as in its build information."""
    found = re.search(r"^\s*JPEG:\s*(.+?)\s*$", cv2.getBuildInformation(), re.MULTILINE)
    return f"OpenCV {cv2.__version__}, JPEG: {found.group(1) if found else 'unknown'}"


def interpolate_mosaic(target: Image, name: str) -> Image:
    """Sample an RGGB Bayer mosaic (red at 0, 0) and interpolate it by Malvar et al. 2004.

    Of each pixel the sensor's own sample is in the result as it was, so any other demosaicking can
    read the mosaic back out of it.

    Args:
        target: uint8 [H, W, 3].
        name: Not used.

    Returns:
        uint8 [H, W, 3], rounded half up.
    """
    interpolated = interpolate_malvar(sample_mosaic(target).astype(np.float64))
    return np.floor(interpolated.clip(0, 255) + 0.5).astype(np.uint8)


def sample_mosaic(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The samples [H, W] that a sensor with an RGGB filter takes of [H, W, 3]."""
    mosaic = image[..., 1].copy()
    mosaic[::2, ::2] = image[::2, ::2, 0]
    mosaic[1::2, 1::2] = image[1::2, 1::2, 2]
    return mosaic


def bicubic_degradation(scale: int) -> Degradation:
    """MATLAB's bicubic reduction."""
    return Degradation("imresize", 1, partial(downscale, scale=scale))


def noise_degradation(sigma: float, rule: NoiseRule) -> Degradation:
    """Gaussian noise under the rule of one paper."""
    return Degradation(f"noise-{rule}", 1, partial(add_noise, sigma=sigma, rule=rule))


def jpeg_degradation(quality: int) -> Degradation:
    """JPEG by OpenCV."""
    return Degradation("jpeg-cv2", 1, partial(compress_jpeg, quality=quality), jpeg_codec)


def mosaic_degradation() -> Degradation:
    """A Bayer mosaic under Malvar's interpolation."""
    return Degradation("bayer-rggb-malvar", 1, interpolate_mosaic)
