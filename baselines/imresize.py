"""MATLAB's `imresize(image, scale, 'bicubic')` on uint8 images, bit for bit.

The low-resolution halves of the super-resolution test sets were made with this function, so a
resize that differs in one rounding step shifts every published number.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def imresize(image: NDArray[np.uint8], scale: int | Fraction) -> NDArray[np.uint8]:
    """Resize an image by an exact factor with the antialiased cubic kernel (a = -0.5).

    The rows are resized first and rounded to uint8 before the columns are, as MATLAB does for
    integer images. Outside the image its mirror with the edge pixel repeated is read.

    Args:
        image: uint8 [H, W] or [H, W, C].
        scale: output size over input size, such as 4 or `Fraction(1, 3)`. A float is refused,
            for the float nearest 1/3 is another sampling grid.

    Returns:
        uint8 [ceil(H * scale), ceil(W * scale)] with the channels of the input.

    Raises:
        TypeError: when the scale is neither an integer nor a Fraction.
        ValueError: when the image is not uint8, not of 2 or 3 axes, or empty, or the scale is
            not positive.
    """
    if not isinstance(scale, (int, Fraction)):
        raise TypeError(f"scale is {scale!r}; give an integer or a fraction as Fraction(1, 3)")
    if scale <= 0:
        raise ValueError(f"scale is {scale}; it must be positive")
    if image.dtype != np.uint8:
        raise ValueError(f"the image is {image.dtype}; round it to uint8 first")
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"the image has shape {image.shape}; expected [H, W] or [H, W, C]")
    return _resize_axis(_resize_axis(image, 0, scale), 1, scale)


def round_to_uint8(values: Tensor) -> Tensor:
    """Round half up and saturate to 0..255, as MATLAB converts doubles to uint8."""
    return (values + 0.5).floor().clamp(0, 255).to(torch.uint8)


def _resize_axis(image: NDArray[np.uint8], axis: int, scale: int | Fraction) -> NDArray[np.uint8]:
    """Resize one axis. PyTorch cuts its kernel at the border, so it is given a mirror."""
    ratio = Fraction(scale)
    lines = np.moveaxis(image, axis, -1)
    length = lines.shape[-1]
    out_length = math.ceil(length * ratio)
    # Both margins are multiples of the denominator: the sampling grid keeps its phase, and the
    # kernel (2 input pixels, stretched by 1 / scale when shrinking) stays inside the mirror.
    margin = 3 * ratio.denominator
    padded_length = length + 2 * margin + -length % ratio.denominator
    mirror = [(0, 0)] * (image.ndim - 1) + [(margin, padded_length - margin - length)]
    padded = np.pad(lines, mirror, mode="symmetric").reshape(1, 1, -1, padded_length)
    # The axis comes last because PyTorch's vertical pass is wrong on images one pixel wide.
    resized = F.interpolate(
        torch.from_numpy(padded).double(),
        size=(padded.shape[2], int(padded_length * ratio)),
        mode="bicubic",
        antialias=True,
    )
    start = int(margin * ratio)
    pixels = round_to_uint8(resized[..., start : start + out_length]).numpy()
    pixels = pixels.reshape(*lines.shape[:-1], out_length)
    return np.ascontiguousarray(np.moveaxis(pixels, -1, axis))
