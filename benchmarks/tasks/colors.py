"""Color spaces in which images are degraded and compared, each by its name in the protocols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.data.images import Image, round_half_up


def to_rgb(image: Image) -> Image:
    """RGB [H, W, 3]; gray [H, W] or [H, W, 1] is read as R = G = B."""
    planes = np.atleast_3d(image)
    return planes if planes.shape[2] == 3 else np.repeat(planes, 3, axis=2)


def to_gray(image: Image) -> npt.NDArray[np.float64]:
    """Mean of the channels, float64 [H, W]: what a color network makes of a gray image."""
    return np.atleast_3d(image).mean(axis=2)


def luma_bt601(image: Image) -> npt.NDArray[np.float64]:
    """Luma of ITU-R BT.601 in studio range (16 to 235), not rounded.

    Args:
        image: uint8 [H, W, 3] (RGB), or gray [H, W] or [H, W, 1], read as R = G = B.

    Returns:
        float64 [H, W].
    """
    from skimage.color import rgb2ycbcr  # takes a second to import

    return rgb2ycbcr(to_rgb(image))[..., 0]


def luma_bt601_uint8(image: Image) -> Image:
    """`luma_bt601` rounded half up to uint8 [H, W], as MATLAB's rgb2ycbcr of a uint8 image."""
    return round_half_up(luma_bt601(image))


def luma_full(image: Image) -> Image:
    """Luma of ITU-R BT.601 in full range (0 to 255), uint8 [H, W], by OpenCV's RGB2GRAY."""
    return cv2.cvtColor(np.ascontiguousarray(to_rgb(image)), cv2.COLOR_RGB2GRAY).astype(np.uint8)


COLORS: dict[str, Callable[[Image], npt.NDArray[Any]]] = {
    "rgb": to_rgb,
    "gray": to_gray,
    "y601-studio-float": luma_bt601,
    "y601-studio-uint8": luma_bt601_uint8,
    "y-full": luma_full,
}
