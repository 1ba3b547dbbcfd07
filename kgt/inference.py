"""Images of any size: overlapping tiles, and how large they may be under a byte budget.

Tiles begin on the network's own grid of `size_multiple` pixels, so a window of a tile is a window
of the image, and a tile at the border is padded with what the whole image would be padded with.
What differs is context: a tile does not see beyond its edges. So neighbors overlap, the outer
quarter of the overlap is thrown away on either side, and the middle half is blended with a raised
cosine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kgt.memory import LiveTensorBytes

OVERLAP = 32
BYTE_BUDGET = 2 * 2**30
# Side in pixels of the square that a network's memory is measured on.
_PROBE = 128
# Resident bytes for a byte of tensors: allocators keep as much again for later.
_RESIDENT = 2


@torch.no_grad()
def restore(
    net: nn.Module,
    image: Tensor,
    tile: int | Literal["auto"] | None = None,
    *,
    overlap: int = OVERLAP,
    byte_budget: int = BYTE_BUDGET,
) -> Tensor:
    """Restore images of any size, tile by tile where they are larger than a tile.

    An image that fits into one tile goes through the network whole, so the result is that of
    `net(image)` to the last bit. No pixel is taken from closer to an inner edge of a tile than a
    quarter of the overlap: a network whose receptive field reaches no further restores in tiles
    exactly what it restores whole. Others differ, so tile and overlap belong beside every score.

    Besides the image, at most the result, one row of tiles and one tile are held.

    Args:
        net: maps [B, C, h, w] to [B, C', scale * h, scale * w]; has the attributes `scale` and
            `size_multiple`, the multiple of pixels that it pads its input to.
        image: [B, C, h, w] on the device and in the dtype of the network.
        tile: side of a tile in pixels of the input, a multiple of `size_multiple`; None restores
            the image whole, "auto" takes the tile of `choose_tile`.
        overlap: pixels of the input that neighbors share at least, rounded up to a multiple of
            `size_multiple`.
        byte_budget: bytes that "auto" may take, see `choose_tile`.

    Returns:
        [B, C', scale * h, scale * w], without gradients.

    Raises:
        ValueError: for an overlap below 1, a tile that is no multiple or not larger than the
            overlap, or a budget that is too small, naming what works; and what `net` raises.
    """
    if tile == "auto":
        tile = choose_tile(net, image, overlap=overlap, byte_budget=byte_budget)
    if tile is None:
        return net(image)
    height, width = image.shape[-2:]
    scale: Any = net.scale
    rows = place_tiles(net, height, tile, overlap)
    columns = place_tiles(net, width, tile, overlap)

    def restore_row(top: int) -> Tensor:
        row = image[..., top : top + tile, :]
        return _join(
            lambda left: net(row[..., left : left + tile]), columns, scale, scale * width, dim=-1
        )

    return _join(restore_row, rows, scale, scale * height, dim=-2)


def place_tiles(net: nn.Module, length: int, tile: int, overlap: int = OVERLAP) -> list[int]:
    """First pixels of the fewest tiles that cover `length` pixels, spread evenly over them.

    Raises:
        ValueError: as `restore`.
    """
    multiple, overlap = _grid(net, overlap)
    if tile % multiple or tile <= overlap:
        nearest = max(_round_up(tile, multiple), overlap + multiple)
        raise ValueError(
            f"tile = {tile}: this network takes multiples of {multiple} pixels, and tiles must "
            f"be larger than their overlap of {overlap}; {nearest} works"
        )
    padded = _round_up(length, multiple)
    steps = max(math.ceil((padded - tile) / (tile - overlap)), 0)
    room = (padded - tile) // multiple
    return [0] + [multiple * (room * step // steps) for step in range(1, steps + 1)]


@torch.no_grad()
def choose_tile(
    net: nn.Module, image: Tensor, *, overlap: int = OVERLAP, byte_budget: int = BYTE_BUDGET
) -> int | None:
    """The side in pixels of the tiles that restore an image within a byte budget.

    The bytes of a network's call are taken to be a constant and a part for each pixel. Both come
    from calls on noise of two sizes, in which the tensors alive at the same time are counted.
    Windowed networks and convolutions are like that; what stops growing at some size makes the
    choice smaller than it could be, and for a network that attends to the whole image it is too
    large. Every byte of tensors is taken for two of the budget, for glibc keeps up to as much again
    resident for later. Not counted are the weights, the image, and what an operator needs while it
    runs.

    Of the tiles that need the fewest calls of the network, the smallest are taken. Whoever restores
    many images of a size calls this once and passes the tile to `restore`.

    Args:
        net: as in `restore`.
        image: [B, C, h, w], of which only shape, dtype and device matter.
        overlap: as in `restore`.
        byte_budget: bytes for the result, a row of tiles and one call of the network.

    Returns:
        The side, a multiple of `size_multiple`, or None if the image can be restored whole.

    Raises:
        ValueError: for an overlap below 1, or where even the smallest tiles need more than the
            budget, naming what they need.
    """
    multiple, overlap = _grid(net, overlap)
    pixels = image.shape[-2] * image.shape[-1]
    height, width = (_round_up(length, multiple) for length in image.shape[-2:])
    constant, per_pixel, per_result = _measure_bytes(net, image)

    def needed(side: int) -> int:
        rows, columns = min(side, height), min(side, width)
        tensors = constant + per_pixel * rows * columns
        if (rows, columns) != (height, width):
            tensors += per_result * (pixels + rows * width)
        return math.ceil(_RESIDENT * tensors)

    whole = max(height, width)
    sides = [*range(overlap + multiple, whole, multiple), whole]
    affordable = [side for side in sides if needed(side) <= byte_budget]
    if not affordable:
        raise ValueError(
            f"byte_budget = {byte_budget:,}: images of {list(image.shape)} need at least "
            f"{needed(sides[0]):,} bytes, in tiles of {sides[0]} pixels"
        )
    if whole in affordable:
        return None
    counts = [len(place_tiles(net, length, affordable[-1], overlap)) for length in (height, width)]
    shares = [
        math.ceil((length - overlap) / count)
        for length, count in zip((height, width), counts, strict=True)
    ]
    return overlap + _round_up(max(shares), multiple)


def _grid(net: nn.Module, overlap: int) -> tuple[int, int]:
    """The pixels that tiles are multiples of, and the overlap rounded up to such a multiple."""
    if overlap < 1:
        raise ValueError(f"overlap = {overlap}: neighboring tiles share at least 1 pixel")
    multiple: Any = net.size_multiple
    return multiple, _round_up(overlap, multiple)


def _round_up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def _measure_bytes(net: nn.Module, image: Tensor) -> tuple[float, float, float]:
    """Bytes of a call on a batch like `image`: constant, per pixel, and per pixel of its result."""
    multiple, _ = _grid(net, OVERLAP)
    side = max(_round_up(_PROBE, multiple), 2 * multiple)
    generator = torch.Generator(image.device).manual_seed(0)
    noise = image.new_empty(*image.shape[:2], side, 2 * side).uniform_(generator=generator)
    net(noise)  # what a network keeps from its first call on is not the tile's
    peaks = []
    for probe in (noise[..., :side], noise):
        with LiveTensorBytes() as memory:
            result = net(probe)
        peaks.append(memory.peak)
    per_pixel = (peaks[1] - peaks[0]) / side**2
    return max(peaks[0] - per_pixel * side**2, 0), per_pixel, result.nbytes / (2 * side**2)


def _join(
    make: Callable[[int], Tensor], starts: Sequence[int], scale: int, length: int, dim: int
) -> Tensor:
    """Make the piece of every start and lay it over those before it, along `dim`."""
    if len(starts) == 1:
        return make(starts[0])
    joined = None
    end = 0
    for start in starts:
        piece = make(start)
        if joined is None:
            shape = list(piece.shape)
            shape[dim] = length
            joined = piece.new_empty(shape)
        end = _lay(piece, joined, scale * start, end, dim)
        del piece  # else it lives while the next one is made
    assert joined is not None
    return joined


def _lay(piece: Tensor, joined: Tensor, start: int, end: int, dim: int) -> int:
    """Lay a piece from `start` on over what is joined up to `end`; returns where it ends."""
    shared = end - start
    blended = (shared + 1) // 2
    skipped = (shared - blended) // 2
    start += skipped
    piece = piece.narrow(dim, skipped, piece.shape[dim] - skipped)
    seam = piece.narrow(dim, 0, blended)
    joined.narrow(dim, start, blended).lerp_(seam, _ramp(seam, dim))
    rest = piece.shape[dim] - blended
    joined.narrow(dim, start + blended, rest).copy_(piece.narrow(dim, blended, rest))
    return start + piece.shape[dim]


def _ramp(piece: Tensor, dim: int) -> Tensor:
    """Weights that rise from 0 to 1 along `dim` of a piece as half a period of a cosine does."""
    count = piece.shape[dim]
    phase = (torch.arange(count, device=piece.device) + 0.5) / count * math.pi
    shape = [1] * piece.ndim
    shape[dim] = count
    return (0.5 - 0.5 * phase.cos()).to(piece.dtype).view(shape)
