"""Square windows: checking and padding an image, cutting it into windows and putting it together.

Axis letters: B batch, C channels, H and W the map's height and width, N = window * window tokens.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor

from kgt.attention.compiling import remembered


def check_image(x: Tensor, in_channels: int, min_size: int) -> None:
    """Refuse an input that a windowed network cannot restore.

    Args:
        x: the input, expected as floating-point [B, C, h, w] in [0, 1].
        in_channels: the C the network was built for.
        min_size: smallest height and width in pixels (the reflection that fills the last window
            needs at least one window of image).

    Raises:
        ValueError: naming the value found and the limit.
    """
    if x.ndim != 4:
        raise ValueError(f"expected an image batch [B, C, h, w], got shape {list(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"expected floating-point values in [0, 1], got dtype {x.dtype}")
    if x.numel() == 0:
        raise ValueError(f"the input is empty: shape {list(x.shape)}")
    if x.shape[1] != in_channels:
        raise ValueError(
            f"the input has {x.shape[1]} channels, the network takes {in_channels}; "
            "convert the image or build the network with in_channels set accordingly"
        )
    height, width = x.shape[-2:]
    if height < min_size or width < min_size:
        raise ValueError(
            f"the image is {height}x{width} pixels, smaller than one window of "
            f"{min_size}x{min_size}; pad it or use a network with a smaller window"
        )
    # What a compiler records does not branch on values.
    if not torch.compiler.is_compiling() and not torch.isfinite(x).all():
        raise ValueError("the input contains NaN or infinite values; the limit is finite [0, 1]")


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad [B, C, h, w] at the right and bottom by reflection to a multiple of `multiple` pixels.

    Only the deficit is padded: a size that already fits is returned as it is. A deficit as long as
    the image takes more than one reflection.

    Raises:
        ValueError: for a side of 1 pixel, which reflects nothing, where it must be padded.
    """
    height, width = x.shape[-2:]
    if (height == 1 and height % multiple) or (width == 1 and width % multiple):
        raise ValueError(
            f"an image of {height}x{width} pixels cannot be padded to a multiple of {multiple} by "
            "reflection; at least 2 pixels on a side are needed"
        )
    if torch.compiler.is_dynamo_compiling() and torch.is_grad_enabled():
        # Inductor cannot order the symbolic strides of what a gradient keeps (torch 2.14).
        height, width = operator.index(height), operator.index(width)
    for dim, size in ((-2, height), (-1, width)):
        # What is compiled pads any size in the same way, also one that needs nothing.
        if torch.compiler.is_compiling() or size % multiple:
            padded = (size + multiple - 1) // multiple * multiple
            steps = _modulo(torch.arange(padded, device=x.device), 2 * size - 2)
            x = x.index_select(dim, torch.minimum(steps, 2 * size - 2 - steps))
    return x


def crop(x: Tensor, height: int, width: int) -> Tensor:
    """The upper left [B, C, height, width] of an image, without what `pad_to_multiple` added."""
    if not torch.compiler.is_exporting():
        return x[..., :height, :width]
    # A slice would have to be proven shorter than the image.
    for dim, size in ((-2, height), (-1, width)):
        x = x.index_select(dim, torch.arange(size, device=x.device))
    return x


def partition_windows(x: Tensor, window: int) -> Tensor:
    """Cut a map [B, H, W, C] into windows [B * nW, N, C], N = window^2, in raster order.

    Raises:
        ValueError: when H or W is not a multiple of the window.
    """
    batch, height, width, channels = x.shape
    if height % window or width % window:
        raise ValueError(f"a map of {height}x{width} is not a multiple of the window {window}")
    x = x.view(batch, height // window, window, width // window, window, channels)
    return x.transpose(2, 3).reshape(-1, window * window, channels)


def merge_windows(tokens: Tensor, window: int, height: int, width: int) -> Tensor:
    """Put windows [B * nW, N, C] together to the map [B, H, W, C] they were cut from."""
    channels = tokens.shape[-1]
    x = tokens.view(-1, height // window, width // window, window, window, channels)
    return x.transpose(2, 3).reshape(-1, height, width, channels)


def roll(x: Tensor, shifts: Sequence[int | torch.SymInt]) -> Tensor:
    """Shift a map [B, H, W, C] cyclically, down and to the right."""
    if not torch.compiler.is_exporting():
        return x.roll(shifts, dims=(1, 2))
    # Runtimes roll by numbers alone, and a shift may follow from the size.
    for dim, shift in enumerate(shifts, 1):
        if isinstance(shift, int) and not shift:
            continue
        places = torch.arange(x.shape[dim], device=x.device) - shift
        x = x.index_select(dim, _modulo(places, x.shape[dim]))
    return x


def _modulo(numbers: Tensor, divisor: int) -> Tensor:
    # ONNX has no remainder of a number that follows from the size.
    return numbers % torch.full_like(numbers, divisor)


@remembered
def cyclic_regions(
    height: int, width: int, window: int, offset_h: int, offset_w: int, device: torch.device
) -> Tensor:
    """Label the tokens of a cyclically shifted map by the side of the image border they lie on.

    The map was rolled by (-offset_h, -offset_w), so its last windows join opposite borders of the
    image. Two tokens of a window were neighbors in the image only if their labels are equal.

    Returns:
        int64 [nW, N]; in windows that meet no border all labels are equal.
    """
    rows = (torch.arange(height, device=device) >= height - offset_h).long()
    columns = (torch.arange(width, device=device) >= width - offset_w).long()
    labels = 2 * rows[:, None] + columns[None, :]
    return partition_windows(labels[None, :, :, None], window).squeeze(-1)
