"""Removal of the artifacts of JPEG."""

from __future__ import annotations

import re
from functools import cache, partial

import cv2
import numpy as np

from benchmarks.data.images import Image
from benchmarks.tasks.protocols import GRL, PERCEPTUAL, PSNR, PSNR_B, SSIM, SSIM_SAME_ZERO, Protocol
from benchmarks.tasks.task import Degradation, Generator, Level, PatchRule, Task


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


def _compress_patch(patch: Image, rng: Generator, side: int, quality: float) -> Image:
    return compress_jpeg(patch, "", quality=round(quality))


def _protocols(kind: str, color: str) -> tuple[Protocol, ...]:
    return (
        Protocol(
            name=f"jpeg-{kind}",
            color=color,
            columns=(PSNR, SSIM, PSNR_B),
            source="SwinIR (Liang et al. 2021) and FBCNN (Jiang et al. 2021), their test scripts",
        ),
        Protocol(f"jpeg-{kind}-ssim-same-zero", color, (PSNR, SSIM_SAME_ZERO, PSNR_B), GRL),
        PERCEPTUAL,
    )


_GRAY, _COLOR = _protocols("gray", "gray"), _protocols("color", "rgb")

TASKS = tuple(
    Task(
        family=family,
        level=Level("quality", "q", quality),
        channels=channels,
        degradations={
            "jpeg": Degradation("jpeg-cv2", 1, partial(compress_jpeg, quality=quality), jpeg_codec)
        },
        protocols=protocols,
        luma=luma,
        test_sets=test_sets,
        patches=PatchRule(_compress_patch),
    )
    for family, channels, luma, protocols, test_sets in (
        ("jpeg-gray", 1, "y601-studio-uint8", _GRAY, ("Classic5", "LIVE1")),
        ("jpeg-color", 3, "", _COLOR, ("LIVE1", "McMaster", "BSDS500")),
    )
    for quality in (10, 20, 30, 40)
)
