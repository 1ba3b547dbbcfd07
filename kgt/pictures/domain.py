"""Pictures that look otherwise than those that the networks that ship were trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kgt.pictures.picture import Picture

Plane = NDArray[np.float32]

# Looked at is a square of at most so many pixels a side in the middle: enough, and soon done.
_SIDE = 1024
# Least share of the strongest differences over 6 pixels that is found over one pixel, in the
# direction where it is least. Of the 100 pictures of BSDS500/val 97 have more, and 2 when blurred
# by the shake of a camera.
_SHARP, _FAR, _STRONGEST = 0.41, 6, 99.7
_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
# In steps of 1/255. Clean pictures and those of JPEG of quality 60 to 90 stay below 3, and noise
# that differs from pixel to pixel is as strong in pixels as in blocks of 2x2.
_COARSE, _COARSER = 4.0, 2.0
# Gray noise, and the most color noise beside it. One of those 100 pictures has as much texture
# where it is flattest.
_GRAY, _COLOR = 8.0, 2.0
_BLOCK, _FLATTEST = 16, 10
# Of a normal distribution: its median absolute value over its standard deviation.
_MEDIAN = 0.6745


def find_mismatch(picture: Picture, task: str) -> str:
    """Say what a picture has that the networks for a task were not trained on.

    Args:
        picture: of any size and kind.
        task: a name of `kgt.tasks.PURPOSES`.

    Returns:
        What it has and what helps, or nothing where it looks as in the training.
    """
    image = _cut_middle(picture)
    if min(image.shape[:2]) < 4 * _BLOCK:
        return ""
    if task == "deblur" and _measure_sharpness(image.mean(axis=-1)) > _SHARP:
        return "looks sharp already and may come out too sharp; if it does, keep it as it is"
    if task != "denoise-color":
        return ""
    fine, coarse = _measure_color_noise(image)
    if coarse > max(_COARSE, _COARSER * fine):
        return (
            "has color noise of grains larger than a pixel, as from the JPEG files of cameras, "
            "much of which will stay; shrink it to half its size first"
        )
    if fine < _COLOR and _measure_gray_noise(image) > _GRAY:
        return (
            "has noise that is the same in all color channels, most of which will stay; "
            "--model nl-means removes more"
        )
    return ""


def _cut_middle(picture: Picture) -> Plane:
    """The middle of a picture, [h, w, C], in 0..255."""
    tops = [max(0, (side - _SIDE) // 2) for side in picture.pixels.shape[:2]]
    cut = picture.pixels[tuple(slice(top, top + _SIDE) for top in tops)]
    return cut * np.float32(255 / np.iinfo(cut.dtype).max)


def _measure_sharpness(plane: Plane) -> float:
    """How much of the strongest differences lies between neighbors, in the worst direction.

    A step from dark to bright within one pixel has all of it, a shake spreads it along its path.
    """
    near = [_find_strongest(plane, dy, dx) for dy, dx in _DIRECTIONS]
    far = [_find_strongest(plane, _FAR * dy, _FAR * dx) for dy, dx in _DIRECTIONS]
    # A plane without differences is no sharp one.
    return min(n / max(f, 1.0) for n, f in zip(near, far, strict=True))


def _find_strongest(plane: Plane, dy: int, dx: int) -> float:
    height, width = plane.shape
    here = plane[: height - dy, max(0, -dx) : width - max(0, dx)]
    there = plane[dy:, max(0, dx) : width + min(0, dx)]
    return float(np.percentile(np.abs(there - here), _STRONGEST))


def _measure_color_noise(image: Plane) -> tuple[float, float]:
    """Standard deviation of the differences of color channels, in pixels and in blocks of 2x2.

    From the median of the finest diagonal Haar wavelets (Donoho and Johnstone 1994); noise that
    differs from pixel to pixel has the same in both.
    """
    if image.shape[-1] == 1:
        return 0.0, 0.0
    red, green, blue = np.moveaxis(image, -1, 0)
    fine, coarse = [], []
    for plane in ((red - blue) / np.sqrt(2), (red - 2 * green + blue) / np.sqrt(6)):
        blocks, details = _split_haar(plane)
        fine.append(np.median(np.abs(details)))
        coarse.append(np.median(np.abs(_split_haar(blocks)[1])))
    return float(np.mean(fine)) / _MEDIAN, float(np.mean(coarse)) / _MEDIAN


def _measure_gray_noise(image: Plane) -> float:
    """Standard deviation of the noise in the mean of the channels, where that is flattest."""
    details = np.abs(_split_haar(image.mean(axis=-1))[1])
    height, width = (side // _BLOCK for side in details.shape)
    blocks = details[: height * _BLOCK, : width * _BLOCK]
    blocks = blocks.reshape(height, _BLOCK, width, _BLOCK).swapaxes(1, 2)
    return float(np.percentile(np.median(blocks, axis=(2, 3)), _FLATTEST)) / _MEDIAN


def _split_haar(plane: Plane) -> tuple[Plane, Plane]:
    """Orthonormal sums and diagonal differences of blocks of 2x2, [h / 2, w / 2] each."""
    height, width = (side // 2 * 2 for side in plane.shape)
    upper, lower = plane[0:height:2, :width], plane[1:height:2, :width]
    sums, differences = upper + lower, upper - lower
    blocks = (sums[:, 0::2] + sums[:, 1::2]) * np.float32(0.5)
    details = (differences[:, 0::2] - differences[:, 1::2]) * np.float32(0.5)
    return blocks, details
