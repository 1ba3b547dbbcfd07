"""What physical models of camera shake and weather share.

They serve sets that ship no degraded images: to train and compare networks; they stand for no
published test set. Light adds up in linear intensities, so every model decodes the sRGB curve,
works there, and encodes again. All randomness is drawn from the image's name. Lengths are fractions
of the image's smaller side.
"""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.data.images import round_half_up

Array = npt.NDArray[Any]


def decode_srgb(image: npt.NDArray[np.uint8]) -> Array:
    """Linear intensities in [0, 1] of sRGB pixels (IEC 61966-2-1)."""
    value = image / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def encode_srgb(light: Array) -> npt.NDArray[np.uint8]:
    """Pixels of linear intensities; clipped to [0, 1], rounded half up."""
    light = light.clip(0, 1)
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return round_half_up(value * 255)


def seed_of(kind: str, name: str) -> np.random.Generator:
    """A generator that depends on the kind of degradation and the name of the image alone."""
    digest = hashlib.sha256(f"{kind}/{name}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype="<u4"))


def convolve(light: Array, kernel: Array) -> Array:
    """Convolution with a kernel [n, n]; the image is mirrored at its borders."""
    flipped = np.ascontiguousarray(kernel[::-1, ::-1])
    return np.asarray(cv2.filter2D(light, -1, flipped, borderType=cv2.BORDER_REFLECT_101))


def blur(light: Array, sigma: float) -> Array:
    """Gaussian blur; sigma in pixels."""
    return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma))
