"""How protocols adapt the size of images before anything else is done with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import PIL.Image

from benchmarks.data.images import Image

_LONGEST, _MULTIPLE = 1024, 16


def crop_to_multiple(image: Image, multiple: int) -> Image:
    """Drop rows at the bottom and columns at the right until both counts divide by `multiple`.

    Raises:
        ValueError: nothing would be left.
    """
    height, width = image.shape[:2]
    if min(height, width) < multiple:
        raise ValueError(f"image of {height}x{width} pixels is smaller than {multiple}x{multiple}")
    return image[: height - height % multiple, : width - width % multiple]


def resize_as_transweather(image: Image) -> Image:
    """Resize to at most 1024 on the longer side, then both sides up to multiples of 16.

    Pillow's Lanczos filter in one step, as in the data loader of TransWeather (Valanarasu et al.
    2022).

    Args:
        image: uint8 [H, W, 3] or [H, W].
    """
    sides = image.shape[:2]
    if max(sides) > _LONGEST:
        sides = tuple(math.ceil(side * _LONGEST / max(sides)) for side in sides)
    height, width = (math.ceil(side / _MULTIPLE) * _MULTIPLE for side in sides)
    resized = PIL.Image.fromarray(np.ascontiguousarray(image)).resize(
        (width, height), PIL.Image.Resampling.LANCZOS
    )
    return np.array(resized)


SIZINGS: dict[str, Callable[[Image], Image]] = {
    "native": lambda image: image,
    "crop-8": partial(crop_to_multiple, multiple=8),
    "transweather-resize16": resize_as_transweather,
}
