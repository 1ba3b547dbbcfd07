"""Images of any size: overlapping tiles, and how large they may be under a byte budget.

Tiles begin on the network's own grid of `size_multiple` pixels, so a window of a tile is a window
of the image, and a tile at the border is padded with what the whole image would be padded with.
What differs is context: a tile does not see beyond its edges. So neighbors overlap, the outer
quarter of the overlap is thrown away on either side, and the middle half is blended with a raised
cosine.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Literal

import torch
from torch import Tensor

from kgt.contract import Restorer, split_whole
from kgt.pictures.png import PngWriter
from kgt.tiles import BYTE_BUDGET, OVERLAP
from kgt.tiles.memory import LiveTensorBytes

# Side in pixels of the square that a network's memory is measured on, of which two at a time.
_PROBE = 64
# Resident bytes for a byte of tensors: allocators keep as much again for later.
_RESIDENT = 2


def restore(
    net: Restorer,
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

    Besides the image, at most the result, one row of tiles, half of what two rows share, and one
    tile are held. `restore_bands` does without the result.

    Args:
        net: a restorer; of one that must see the whole image, the result of its first step is cut
            into tiles.
        image: [B, C, h, w] on the device and in the dtype of the network; or uint8 on the scale of
            [0, 255], of which each tile is converted when its turn comes.
        tile: side of a tile in pixels of the input, a multiple of `size_multiple`; None restores
            the image whole, "auto" takes the tile of `choose_tile`.
        overlap: pixels of the input that neighbors share at least, rounded up to a multiple of
            `size_multiple`.
        byte_budget: bytes that "auto" may take, see `plan_tiles`.

    Returns:
        [B, C', scale * h, scale * w], without gradients.

    Raises:
        ValueError: for an overlap below 1, a tile that is no multiple or not larger than the
            overlap, or a budget that is too small, naming what works; and what `net` raises.
    """
    body, image = split_whole(net, image)
    if tile == "auto":
        tile = choose_tile(body, image, overlap=overlap, byte_budget=byte_budget)
    height = net.scale * image.shape[-2]
    return _fill(restore_bands(body, image, tile, overlap=overlap), height, dim=-2)


def restore_bands(
    net: Restorer,
    image: Tensor,
    tile: int | Literal["auto"] | None = "auto",
    *,
    overlap: int = OVERLAP,
    byte_budget: int = BYTE_BUDGET,
) -> Iterator[Tensor]:
    """Restore images band by band, from top to bottom; joined they are what `restore` returns.

    A band is yielded once nothing below can change it, and belongs to the caller. Between two
    bands only half of what two rows of tiles share is kept, so with every band dropped in time
    memory does not grow with the height of the image. A uint8 image, which may be a mapped file,
    costs no more than its own byte per sample.

    Args:
        net: as for `restore`.
        image: as for `restore`.
        tile: as for `restore`; but "auto" plans for bands.
        overlap: as for `restore`.
        byte_budget: bytes that "auto" may take, see `plan_tiles`.

    Returns:
        An iterator over bands [B, C', rows, scale * w], without gradients.

    Raises:
        ValueError: as `restore`, before any tile is restored.
    """
    net, image = split_whole(net, image)
    if tile == "auto":
        tile = plan_tiles(net, image, overlap=overlap, byte_budget=byte_budget, streamed=True).tile
    height, width = image.shape[-2:]
    if tile is None:
        return _blend(lambda _: _call(net, image), [0], 1, dim=-2)
    scale = net.scale
    columns = place_tiles(net, width, tile, overlap)

    def restore_row(top: int) -> Tensor:
        row = image[..., top : top + tile, :]
        tiles = _blend(
            lambda left: _call(net, row[..., left : left + tile]), columns, scale, dim=-1
        )
        return _fill(tiles, scale * width, dim=-1)

    return _blend(restore_row, place_tiles(net, height, tile, overlap), scale, dim=-2)


def restore_to_png(
    net: Restorer,
    image: Tensor,
    path: str | os.PathLike[str],
    tile: int | Literal["auto"] | None = "auto",
    *,
    overlap: int = OVERLAP,
    byte_budget: int = BYTE_BUDGET,
    on_band: Callable[[float], object] = lambda done: None,
) -> None:
    """Restore one image into a PNG file of 8 bits, written as it is made.

    Values are clamped to [0, 1] and rounded to the nearest of 255 steps, halves up. The file
    appears when it is complete.

    Args:
        net: as for `restore`.
        image: [1, C, h, w], as for `restore`.
        path: where the file goes; one that is there is replaced.
        tile: as for `restore_bands`.
        overlap: as for `restore`.
        byte_budget: bytes that "auto" may take, see `plan_tiles`.
        on_band: told the fraction of the rows that are written, after every band.

    Raises:
        ValueError: as `restore`; for a batch of several images; and for a network that makes
            neither 1 nor 3 channels, or values that are NaN or infinite.
        OSError: where the file cannot be written.
    """
    if image.shape[0] != 1:
        raise ValueError(f"{image.shape[0]} images: a file takes one, so pass them one by one")
    height, width = (net.scale * length for length in image.shape[-2:])
    bands = restore_bands(net, image, tile, overlap=overlap, byte_budget=byte_budget)
    band = next(bands)
    done = 0
    with PngWriter(path, height, width, channels=band.shape[1]) as file:
        while True:
            if not band.isfinite().all():
                raise ValueError(f"the result has NaN or infinite values below row {done}")
            steps = band[0].double().clamp_(0, 1).mul_(255).add_(0.5).to(torch.uint8)
            file.write(steps.permute(1, 2, 0).cpu())
            done += steps.shape[1]
            on_band(done / height)
            del band, steps  # else they live while the next ones are made
            if done == height:
                break
            band = next(bands)


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


def _call(net: Restorer, image: Tensor) -> Tensor:
    """The network's result for an image, which is converted first if it is uint8."""
    if image.dtype != torch.uint8:
        return net(image)
    like = next(net.parameters(), torch.empty(0, device=image.device))
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
    _call(net, noise)  # what a network keeps from its first call on is not the tile's
    peaks = []
    for probe in (noise[..., :side], noise):
        with LiveTensorBytes() as memory:
            result = _call(net, probe)
        peaks.append(memory.peak)
    per_pixel = (peaks[1] - peaks[0]) / side**2
    return max(peaks[0] - per_pixel * side**2, 0), per_pixel, result.nbytes / (2 * side**2)


def _blend(
    make: Callable[[int], Tensor], starts: Sequence[int], scale: int, dim: int
) -> Iterator[Tensor]:
    """Make the piece of every start, and yield what no later piece changes, along `dim`.

    Where a piece meets the next one, the seam is all that is kept of it.
    """
    seam = None
    begin = 0  # of what is not yielded yet
    for start, following in pairwise([*starts, None]):
        assert start is not None
        # Not a decorator: it would hold every band while the next one is made.
        with torch.no_grad():
            piece = make(start)
            start *= scale
            if seam is not None:
                _cross_fade(seam, piece.narrow(dim, begin - start, seam.shape[dim]), dim)
            end = start + piece.shape[dim]
            if following is not None:
                shared = end - scale * following
                kept = (shared + 1) // 2
                end = scale * following + (shared - kept) // 2
                seam = piece.narrow(dim, end - start, kept).clone()
        yield piece.narrow(dim, begin - start, end - begin)
        del piece  # else it lives while the next one is made
        begin = end


def _fill(bands: Iterable[Tensor], length: int, dim: int) -> Tensor:
    """Join bands along `dim`, of which there are `length` pixels in all."""
    joined = None
    begin = 0
    for band in bands:
        if band.shape[dim] == length:
            return band
        if joined is None:
            shape = list(band.shape)
            shape[dim] = length
            joined = band.new_empty(shape)
        joined.narrow(dim, begin, band.shape[dim]).copy_(band)
        begin += band.shape[dim]
        del band  # else it lives while the next one is made
    assert joined is not None
    return joined


def _cross_fade(old: Tensor, new: Tensor, dim: int) -> None:
    """Let `new` begin as `old` along `dim` and turn into itself as half a cosine does."""
    count = new.shape[dim]
    phase = (torch.arange(count, device=new.device) + 0.5) / count * math.pi
    shape = [1] * new.ndim
    shape[dim] = count
    weights = (0.5 - 0.5 * phase.cos()).to(new.dtype).view(shape)
    new.copy_(torch.lerp(old, new, weights))
