"""The mosaic of a sensor that sees one color per pixel, interpolated to a color image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_GREEN = (
    (0, 0, -1, 0, 0),
    (0, 0, 2, 0, 0),
    (-1, 2, 4, 2, -1),
    (0, 0, 2, 0, 0),
    (0, 0, -1, 0, 0),
)
# Red or blue at a green pixel whose neighbors to the left and right have it; transposed, above.
_BESIDE = (
    (0, 0, 0.5, 0, 0),
    (0, -1, 0, -1, 0),
    (-1, 4, 5, 4, -1),
    (0, -1, 0, -1, 0),
    (0, 0, 0.5, 0, 0),
)
# Red at a blue pixel, or blue at a red one.
_OPPOSITE = (
    (0, 0, -1.5, 0, 0),
    (0, 2, 0, 2, 0),
    (-1.5, 0, 6, 0, -1.5),
    (0, 2, 0, 2, 0),
    (0, 0, -1.5, 0, 0),
)
_RADIUS = 2


def interpolate_malvar(mosaic: Tensor) -> Tensor:
    """Linear 5x5 interpolation of Malvar, He and Cutler (ICASSP 2004).

    Borders are mirrored without the border pixel, so that every sample stays at a position of its
    color. The products of the filters and whole numbers up to 65,535 are exact in float32.

    Args:
        mosaic: floating-point samples [h, w] under an RGGB pattern: red at row 0, column 0.

    Returns:
        [3, h, w], not clipped; the sensor's samples stay as they are.
    """
    height, width = mosaic.shape
    rows, columns = (_mirror(length, mosaic.device) for length in (height, width))
    green, beside, opposite = mosaic.new_tensor((_GREEN, _BESIDE, _OPPOSITE))
    filters = torch.stack([green, beside, beside.T, opposite]) / 8
    padded = mosaic[rows[:, None], columns][None, None]
    green, beside, above, opposite = F.conv2d(padded, filters[:, None])[0]
    image = mosaic.repeat(3, 1, 1)
    for channel, source, row, column in (
        (0, beside, 0, 1),
        (0, above, 1, 0),
        (0, opposite, 1, 1),
        (1, green, 0, 0),
        (1, green, 1, 1),
        (2, opposite, 0, 0),
        (2, above, 0, 1),
        (2, beside, 1, 0),
    ):
        image[channel, row::2, column::2] = source[row::2, column::2]
    return image


def _mirror(length: int, device: torch.device) -> Tensor:
    """Indices that extend an axis by its mirror on both sides; of 1 sample, by that sample."""
    period = max(2 * (length - 1), 1)
    indices = torch.arange(-_RADIUS, length + _RADIUS, device=device) % period
    return torch.minimum(indices, period - indices)
