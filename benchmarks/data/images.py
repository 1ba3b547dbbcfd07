"""Image files: found by stem, decoded strictly, digested by their pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

Image = npt.NDArray[np.uint8]

# JPEG is here for sets that were published as JPEG; every other format is lossless.
_SUFFIXES = frozenset({".png", ".webp", ".bmp", ".tif", ".tiff", ".jpg"})


def find_images(folder: Path) -> dict[str, Path]:
    """Image files of a folder by stem, sorted; empty where the folder is missing.

    Raises:
        ValueError: Two files share a stem, so that it is unclear which is meant.
    """
    paths: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() not in _SUFFIXES:
            continue
        if path.stem in paths:
            raise ValueError(f"{paths[path.stem]} and {path.name} share a stem; keep one of them")
        paths[path.stem] = path
    return paths


def read_size(path: Path) -> tuple[int, int]:
    """Height and width of an image file, from its header alone.

    Raises:
        OSError: The file cannot be read, or is no image.
    """
    try:
        with PIL.Image.open(path) as file:
            return file.height, file.width
    except PIL.UnidentifiedImageError as error:
        raise OSError(f"{path}: not an image of a known format; fetch it anew") from error


def read_image(path: Path) -> Image:
    """Decode an 8-bit image, uint8 [H, W, 3] (RGB) or [H, W] (gray).

    Palettes and bilevel images are expanded, and an alpha channel that is opaque everywhere is
    dropped, for neither loses anything. What would have to be converted is refused.

    Raises:
        ValueError: More than 8 bits per sample, transparency, CMYK or another color space.
        OSError: The file cannot be read or decoded.
    """
    try:
        with PIL.Image.open(path) as file:
            # Pillow halves the bits of 16-bit RGB files without a word; the raw mode tells.
            if any("16" in str(tile[3]) for tile in file.tile):
                raise ValueError(f"{path}: 8 bits per sample expected, got 16; convert it to 8")
            return np.array(_expand(file, path))
    except PIL.UnidentifiedImageError as error:
        raise OSError(f"{path}: not an image of a known format; fetch it anew") from error
    except PIL.Image.DecompressionBombError as error:
        raise ValueError(f"{path}: {error}; cut it into parts") from error
    except (OSError, SyntaxError) as error:
        if isinstance(error, OSError) and error.filename:
            raise
        raise OSError(f"{path}: cannot be decoded: {error}; fetch it anew") from error


def _expand(file: PIL.Image.Image, path: Path) -> PIL.Image.Image:
    if file.mode == "1":
        return file.convert("L")
    transparent = "transparency" in file.info
    image = file.convert("RGBA" if transparent else "RGB") if file.mode == "P" else file
    if image.mode in ("RGBA", "LA"):
        lowest = np.asarray(image.getchannel("A")).min()
        if lowest < 255:
            raise ValueError(
                f"{path}: opaque pixels expected, got an alpha channel down to {lowest}; "
                "flatten it onto a background"
            )
        return image.convert(image.mode[:-1])
    if image.mode not in ("L", "RGB"):
        raise ValueError(
            f"{path}: 8-bit gray or RGB expected, got mode {image.mode}; convert it to RGB"
        )
    return image


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
