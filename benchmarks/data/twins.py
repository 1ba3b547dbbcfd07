"""Sets of twin patches, made here: what restores a patch best is the same texture far from it.

An image is cut into blocks as large as a window of 32 x 32 tokens of 2 x 2 pixels. A block holds
patches of white Gaussian texture, which no neighbor helps to restore, on flat ground. Most patches
are pairs of twins: one texture at two places, a given distance apart, among a given number of
others, the distractors. Under noise the mean of the two is the best that can be had, so the optimum
has a closed form (`benchmarks.tasks.twins`).

The set "twins" is for training and holds images of all kinds, the sets "twins-dD-nN" are tests of
one kind each, of distance D and N distractors. No seed, so no texture, is in two sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.data.images import Image, round_half_up
from kgt.cache import find_in_cache
from kgt.files import write_atomically

# Pixels: sides of a patch, of a block and of an image.
PATCH, BLOCK, SIDE = 8, 64, 128
# Of the texture: its mean, which the ground has, too, and its standard deviation.
MEAN, CONTRAST = 128, 40
DISTANCES, DISTRACTORS = (8, 16, 32, 48), (0, 14, 62)
TEST_IMAGES, TRAINING_IMAGES = 18, 24
TRAINING_SET = "twins"

# Of what is drawn; raise it when a pixel changes.
_VERSION = 1
_CELLS = BLOCK // PATCH
# Sides of windows in cells, the smallest first; a pair lies in one of the first that it fits.
_WINDOWS = (2, 4, 8)

# Row and column of a cell of a block.
_Cell = tuple[int, int]


class Layout(NamedTuple):
    """What a block of an image holds.

    Attributes:
        distance: pixels from a patch to its twin, along a row or a column.
        distractors: patches of the block besides a patch and its twin.
    """

    distance: int
    distractors: int

    @property
    def patches(self) -> int:
        """Patches of a block."""
        return self.distractors + 2

    @property
    def pairs(self) -> int:
        """Pairs of twins of a block: as many as its patches are, or as fit at this distance."""
        return min(len(_list_pairs(self.distance)), self.patches // 2)


class Drawing(NamedTuple):
    """An image to draw: its layout, and the seed of its places and textures."""

    layout: Layout
    seed: tuple[int, ...]


TESTS = {f"twins-d{d}-n{n}": Layout(d, n) for d in DISTANCES for n in DISTRACTORS}
# The only split of each set.
SPLITS = {TRAINING_SET: "train", **dict.fromkeys(TESTS, "test")}


def list_drawings(name: str) -> Mapping[str, Drawing]:
    """The images of a set by stem; the last twelve for training are one of each layout.

    Raises:
        KeyError: no such set.
    """
    if name == TRAINING_SET:
        return {
            f"{index:02}-d{layout.distance}-n{layout.distractors}": Drawing(
                layout, (0, *layout, index)
            )
            for index in range(TRAINING_IMAGES)
            for layout in TESTS.values()
        }
    layout = TESTS[name]
    return {
        f"{name}-{index:02}": Drawing(layout, (1, *layout, index)) for index in range(TEST_IMAGES)
    }


def draw(drawing: Drawing) -> Image:
    """An image of blocks that hold patches, uint8 [SIDE, SIDE, 3]."""
    rng = np.random.default_rng(drawing.seed)
    image = np.full((SIDE, SIDE, 3), MEAN, np.uint8)
    for top in range(0, SIDE, BLOCK):
        for left in range(0, SIDE, BLOCK):
            block = image[top : top + BLOCK, left : left + BLOCK]
            _fill(block.swapaxes(0, 1) if rng.random() < 0.5 else block, drawing.layout, rng)
    return image


def write_set(name: str) -> Path:
    """The folder of a set; images that are not in the cache yet are drawn.

    Raises:
        OSError: the cache takes no files.
    """
    folder = find_in_cache(f"generated/{_VERSION}/{name}")
    for stem, drawing in list_drawings(name).items():
        path = folder / f"{stem}.png"
        if not path.exists():
            encoded = cv2.imencode(".png", draw(drawing)[..., ::-1])[1]
            write_atomically(path, encoded.tobytes())
    return folder


def _fill(block: Image, layout: Layout, rng: np.random.Generator) -> None:
    """Put pairs of twins into a block, and other patches beside them."""
    pairs = _list_pairs(layout.distance)
    chosen = rng.permutation(len(pairs))[: layout.pairs]
    groups = [pairs[index] for index in chosen]
    taken = {cell for pair in groups for cell in pair}
    free = [divmod(n, _CELLS) for n in range(_CELLS**2) if divmod(n, _CELLS) not in taken]
    lone = rng.permutation(len(free))[: layout.patches - 2 * layout.pairs]
    for cells in [*groups, *((free[index],) for index in lone)]:
        texture = rng.normal(MEAN, CONTRAST, (PATCH, PATCH, 3)).clip(0, 255)
        for row, column in cells:
            top, left = row * PATCH, column * PATCH
            block[top : top + PATCH, left : left + PATCH] = round_half_up(texture)


@cache
def _list_pairs(distance: int) -> list[tuple[_Cell, _Cell]]:
    """Pairs of cells that share no cell: along rows, then along columns where no row reaches.

    Both cells lie in one window of every size that the distance fits into.
    """
    step = distance // PATCH
    window = next(side for side in _WINDOWS if side > step)
    starts = [n for n in range(_CELLS - step) if n // window == (n + step) // window]
    every = range(_CELLS)
    along = [((row, n), (row, n + step)) for row in every for n in starts if n % (2 * step) < step]
    taken = {cell for pair in along for cell in pair}
    down = [((n, column), (n + step, column)) for column in every for n in starts]
    return along + [pair for pair in down if taken.isdisjoint(pair)]
