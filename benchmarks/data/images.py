"""Image files: found by stem, decoded strictly, digested by their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyvips

from kgt.pictures.picture import Picture
from kgt.pictures.picture import read_size as read_width_and_height

Image = npt.NDArray[np.uint8]

# What decides on the pixels of a file, besides the file.
DECODER = "libvips-" + ".".join(str(pyvips.version(part)) for part in range(3))

# JPEG is here for sets that were published as JPEG; every other format is lossless.
_SUFFIXES = frozenset({".png", ".webp", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg"})


def find_images(folder: Path) -> dict[str, Path]:
    """Image files of a folder by stem, sorted, without hidden ones; empty where it is missing.

    Raises:
        ValueError: two files share a stem, so that it is unclear which is meant.
    """
    paths: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() not in _SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in paths:
            raise ValueError(f"{paths[path.stem]} and {path.name} share a stem; keep one of them")
        paths[path.stem] = path
    return paths


def read_size(path: Path) -> tuple[int, int]:
    """Height and width of an image file, from its header alone.

    Raises:
        OSError: the file cannot be read, or is no image.
    """
    with _fetch_anew():
        width, height = read_width_and_height(path)
    return height, width


def read_image(path: Path) -> Image:
    """Decode an 8-bit image, uint8 [H, W, 3] (RGB) or [H, W] (gray), upright.

    Palettes and bilevel images are expanded, and an alpha channel that is opaque everywhere is
    dropped, for neither loses anything. What would have to be converted is refused.

    Raises:
        ValueError: more than 8 bits per sample, transparency, CMYK or another color space.
        OSError: the file cannot be read or decoded.
    """
    with _fetch_anew():
        picture = Picture.read(path)
    if picture.pixels.dtype != np.uint8:
        raise ValueError(f"{path}: 8 bits per sample expected, got 16; convert it to 8")
    if picture.alpha is not None and not picture.is_opaque:
        raise ValueError(
            f"{path}: opaque pixels expected, got an alpha channel down to {picture.alpha.min()}; "
            "flatten it onto a background"
        )
    pixels = np.ascontiguousarray(picture.pixels)
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


@contextmanager
def _fetch_anew() -> Iterator[None]:
    """Add the way out to what is said of a damaged file."""
    try:
        yield
    except OSError as error:
        if error.filename:  # it is missing, or closed to us
            raise
        raise OSError(f"{error}; fetch it anew") from error


def round_half_up(values: npt.NDArray[Any]) -> Image:
    """Whole numbers of values in 0..255, halves rounded up."""
    return np.floor(values + 0.5).astype(np.uint8)


def digest_pixels(image: npt.NDArray[Any]) -> str:
    """SHA-256 over shape, dtype and bytes: equal for equal pixels in whatever file format."""
    header = f"{image.shape} {image.dtype.name} ".encode()
    return hashlib.sha256(header + image.tobytes()).hexdigest()


def combine_digests(digests: Iterable[str]) -> str:
    """SHA-256 of a sequence of digests; their order matters."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
