"""Formats of picture files: by what they are known, and what those that are written can hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kgt.errors import quote

# How the files of each format begin that is read, by the name of libvips's decoder.
SIGNATURES = {
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "tiff": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "gif": re.compile(rb"GIF8[79]a"),
    "heif": re.compile(rb".{4}ftyp(avi|hei|hev|mif|msf)", re.DOTALL),
    "jxl": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
    "bmp": re.compile(rb"BM"),
}
READ = "PNG, JPEG, WebP, TIFF, GIF, AVIF, BMP"
READ_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif", ".bmp"),
    *(".avif", ".heic", ".heif", ".jxl"),
)


@dataclass(frozen=True)
class Format:
    """A format that pictures are written in.

    Attributes:
        name: what it is called.
        longest: pixels of a side at most.
        bits: bits of a sample at most.
        options: of libvips's encoder.
    """

    name: str
    longest: int
    bits: int
    options: Mapping[str, object] = field(default_factory=dict)


PNG = Format("PNG", 2**31 - 1, 16, {"compression": 6, "filter": "all"})
JPEG = Format("JPEG", 65_500, 8, {"Q": 95, "subsample_mode": "off"})
WEBP = Format("WebP", 16_383, 8, {"Q": 95})
TIFF = Format("TIFF", 2**31 - 1, 16, {"compression": "deflate", "predictor": "horizontal"})
FORMATS = {
    ".png": PNG,
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".webp": WEBP,
    ".tif": TIFF,
    ".tiff": TIFF,
}


def find_format(path: Path) -> Format:
    """The format that a suffix stands for.

    Raises:
        ValueError: for a suffix that is not written, listing those that are.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(
            f"{path}: no format has the suffix {quote(suffix)}; written are {', '.join(FORMATS)}"
        )
    return FORMATS[suffix]
