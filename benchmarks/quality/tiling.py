"""The tile rule of an evaluation, and what it changes against restoring images whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from kgt.contract import Restorer
from kgt.tiles import BYTE_BUDGET, OVERLAP
from kgt.tiles.bands import restore
from kgt.tiles.plan import choose_tile


@dataclass(frozen=True)
class Tiling:
    """How images are cut into tiles; scores depend on it, so it stands beside them.

    Attributes:
        tile: side of a tile in pixels of the input, "auto" for the largest within the budget, or
            None for whole images.
        overlap: pixels of the input that neighboring tiles share at least.
        byte_budget: bytes that "auto" may take, as `kgt.tiles.plan.choose_tile` counts them.
    """

    tile: int | Literal["auto"] | None = None
    overlap: int = OVERLAP
    byte_budget: int = BYTE_BUDGET

    def __str__(self) -> str:
        if self.tile is None:
            return "whole"
        budget = f" within {self.byte_budget / 2**20:g} MiB" if self.tile == "auto" else ""
        return f"tile {self.tile}{budget} overlap {self.overlap}"

    def choose(self, model: Restorer, image: Tensor) -> int | None:
        """The side of the tiles for an image [B, C, h, w]; None restores it whole."""
        if self.tile == "auto":
            return choose_tile(model, image, overlap=self.overlap, byte_budget=self.byte_budget)
        return self.tile

    def restore(self, model: Restorer, image: Tensor) -> Tensor:
        """Restore [B, C, h, w]; raises like `kgt.restore`."""
        return restore(model, image, self.choose(model, image), overlap=self.overlap)


WHOLE = Tiling()
