"""Images of any size: restored by overlapping tiles, band by band.

A tile does not see beyond its edges. So neighbors overlap, the outer quarter of the overlap is
thrown away on either side, and the middle half is blended with a raised cosine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from kgt.contract import Restorer, split_whole
from kgt.tiles import BYTE_BUDGET, OVERLAP
from kgt.tiles.plan import call_restorer, choose_tile, place_tiles, plan_tiles


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
    on_progress: Callable[[float], object] | None = None,
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
        on_progress: called with the share that is restored, after every tile and, as far as a
            restorer has modules, within it.

    Returns:
        An iterator over bands [B, C', rows, scale * w], without gradients.

    Raises:
        ValueError: as `restore`, before any tile is restored.
    """
    net, image = split_whole(net, image)
    if tile == "auto":
        tile = plan_tiles(net, image, overlap=overlap, byte_budget=byte_budget, streamed=True).tile
    height, width = image.shape[-2:]
    tops, columns = [0], [0]
    if tile is None:
        tile = max(height, width)
    else:
        tops, columns = (place_tiles(net, length, tile, overlap) for length in (height, width))
    track = _Progress(net, len(tops) * len(columns), on_progress)

    def restore_tile(row: Tensor, left: int) -> Tensor:
        with track:
            return call_restorer(net, row[..., left : left + tile])

    def restore_row(top: int) -> Tensor:
        row = image[..., top : top + tile, :]
        tiles = _blend(lambda left: restore_tile(row, left), columns, net.scale, dim=-1)
        return _fill(tiles, net.scale * width, dim=-1)

    return _blend(restore_row, tops, net.scale, dim=-2)


class _Progress:
    """The share of the tiles that a restorer has restored, by the calls of modules within it."""

    def __init__(self, net: Restorer, tiles: int, report: Callable[[float], object] | None) -> None:
        inner = [module for module in net.modules() if module is not net]
        self._modules = inner if report else []
        self._tiles, self._report = tiles, report or (lambda share: None)
        self._done = self._calls = 0
        # A network may use the weights of modules that it never calls: the first tile counts them.
        self._expected = len(self._modules)
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> None:
        """Begin a tile."""
        self._calls = 0
        self._hooks = [each.register_forward_hook(self._count) for each in self._modules]

    def _count(self, *_: object) -> None:
        self._calls += 1
        self._say(self._done + self._calls / (max(self._calls, self._expected) + 1))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End it."""
        for hook in self._hooks:
            hook.remove()
        if kind is None:
            self._expected = self._calls
            self._done += 1
            self._say(self._done)

    def _say(self, tiles: float) -> None:
        self._report(tiles / self._tiles)


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
    numbers = torch.arange(count, dtype=torch.float32, device=new.device)
    phase = (numbers + 0.5) / count * math.pi
    shape = [1] * new.ndim
    shape[dim] = count
    weights = (0.5 - 0.5 * phase.cos()).to(new.dtype).view(shape)
    new.copy_(torch.lerp(old, new, weights))
