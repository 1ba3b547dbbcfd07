"""How an image is cut into tiles, and how large they may be under a byte budget.

Tiles begin on the network's own grid of `size_multiple` pixels, so a window of a tile is a window
of the image, and a tile at the border is padded with what the whole image would be padded with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise, takewhile

import torch
from torch import Tensor

from kgt.contract import Restorer, split_whole
from kgt.tiles import BYTE_BUDGET, OVERLAP
from kgt.tiles.memory import LiveTensorBytes

# Side in pixels of the square that a network's memory is measured on, of which two at a time.
_PROBE = 64
# Resident bytes for a byte of tensors: allocators keep as much again for later.
_RESIDENT = 2


def place_tiles(net: Restorer, length: int, tile: int, overlap: int = OVERLAP) -> list[int]:
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


@dataclass(frozen=True)
class Plan:
    """How an image is cut into tiles, and what that takes.

    Attributes:
        tile: side of a tile in pixels of the input, None where the image is restored whole.
        rows, columns: number of tiles below and beside each other.
        needed_bytes: resident bytes that the restoration is expected to take.
        byte_budget: bytes that it may take.
    """

    tile: int | None
    rows: int
    columns: int
    needed_bytes: int
    byte_budget: int

    def __str__(self) -> str:
        tiles = f"{self.rows * self.columns} tiles of {self.tile}x{self.tile}"
        memory = f"{self.needed_bytes / 2**20:,.0f} MiB of {self.byte_budget / 2**20:,.0f} MiB"
        return f"{'whole' if self.tile is None else tiles}, {memory}"


def choose_tile(
    net: Restorer, image: Tensor, *, overlap: int = OVERLAP, byte_budget: int = BYTE_BUDGET
) -> int | None:
    """The tile of `plan_tiles` for a result that is held, None if the image fits whole."""
    return plan_tiles(net, image, overlap=overlap, byte_budget=byte_budget).tile


@torch.no_grad()
def plan_tiles(
    net: Restorer,
    image: Tensor,
    *,
    overlap: int = OVERLAP,
    byte_budget: int = BYTE_BUDGET,
    streamed: bool = False,
) -> Plan:
    """The square tiles that restore an image within a byte budget.

    The bytes of a network's call are taken to be a constant and a part for each pixel. Both come
    from calls on noise of two sizes, in which the tensors alive at the same time are counted.
    Windowed networks and convolutions are like that; what stops growing at some size makes the
    choice smaller than it could be, and for a network that attends to the whole image it is too
    large. Every byte of tensors is taken for two of the budget, for glibc keeps up to as much again
    resident for later. Not counted are the weights, the image and what a network prepares of it,
    and what an operator needs while it runs.

    Of the tiles that need the fewest calls of the network, the smallest are taken. Whoever restores
    many images of a size calls this once and passes the tile to `restore`.

    Args:
        net: as in `restore`.
        image: [B, C, h, w], of which only shape, dtype and device matter.
        overlap: as in `restore`.
        byte_budget: bytes for the result, a row of tiles, its seam and one call of the network.
        streamed: plan for `restore_bands`, which holds no result, but perhaps a band that the
            caller has not dropped yet.

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
            steps = (b - a for a, b in pairwise(place_tiles(net, height, side, overlap)))
            seam = max(((side - step + 1) / 2 for step in steps), default=0)
            held = rows * width if streamed else pixels
            tensors += per_result * (held + (rows + seam) * width)
        return math.ceil(_RESIDENT * tensors)

    def plan(side: int) -> Plan:
        rows, columns = (len(place_tiles(net, n, side, overlap)) for n in (height, width))
        tile = None if rows == columns == 1 else side
        return Plan(tile, rows, columns, needed(side), byte_budget)

    # A tile that covers the image may still be no larger than the overlap.
    whole = plan(max(height, width, overlap + multiple))
    if whole.needed_bytes <= byte_budget:
        return whole
    sides = range(overlap + multiple, max(height, width), multiple)
    affordable = list(takewhile(lambda side: needed(side) <= byte_budget, sides))
    if not affordable:
        least = needed(sides[0]) if sides else whole.needed_bytes
        raise ValueError(
            f"byte_budget = {byte_budget:,}: images of {list(image.shape)} need at least "
            f"{least:,} bytes, in tiles of {overlap + multiple} pixels"
        )
    most = plan(affordable[-1])
    shares = [
        math.ceil((length - overlap) / count)
        for length, count in zip((height, width), (most.rows, most.columns), strict=True)
    ]
    return plan(overlap + _round_up(max(shares), multiple))


def _grid(net: Restorer, overlap: int) -> tuple[int, int]:
    """The pixels that tiles are multiples of, and the overlap rounded up to such a multiple."""
    if overlap < 1:
        raise ValueError(f"overlap = {overlap}: neighboring tiles share at least 1 pixel")
    return net.size_multiple, _round_up(overlap, net.size_multiple)


def _round_up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def call_restorer(net: Restorer, image: Tensor) -> Tensor:
    """The network's result for an image, which is converted first if it is uint8."""
    if image.dtype != torch.uint8:
        return net(image)
    plain = torch.empty(0, dtype=torch.float32, device=image.device)
    like = next(net.parameters(), plain)
    return net(image.to(like).div_(255))


def _measure_bytes(net: Restorer, image: Tensor) -> tuple[float, float, float]:
    """Bytes of a call on a batch like `image`: constant, per pixel, and per pixel of its result."""
    multiple, _ = _grid(net, OVERLAP)
    side = max(_round_up(_PROBE, multiple), 2 * multiple)
    generator = torch.Generator(image.device).manual_seed(0)
    shape = (*image.shape[:2], side, 2 * side)
    if image.dtype == torch.uint8:
        noise = image.new_empty(shape).random_(256, generator=generator)
    else:
        noise = image.new_empty(shape).uniform_(generator=generator)
    net, noise = split_whole(net, noise)  # once for the image, not for every tile
    call_restorer(net, noise)  # what a network keeps from its first call on is not the tile's
    peaks = []
    for probe in (noise[..., :side], noise):
        with LiveTensorBytes() as memory:
            result = call_restorer(net, probe)
        peaks.append(memory.peak)
    per_pixel = (peaks[1] - peaks[0]) / side**2
    return max(peaks[0] - per_pixel * side**2, 0), per_pixel, result.nbytes / (2 * side**2)
