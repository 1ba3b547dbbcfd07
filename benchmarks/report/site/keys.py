"""Real key-graphs on real photographs: windows whose pixels show what they attend to.

The graph is the one that the first stage of the shipped network `kgt-tiny-x4` builds, in windows of
32x32 pixels, as in the picture of the README.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

import kgt
from benchmarks.data.datasets import load_dataset
from benchmarks.data.images import Image
from kgt.network.model import ColumnarKGT

SIDE = 32
# Every k is a prefix of the next one's keys.
KEYS = (8, 16, 32)


@dataclass(frozen=True)
class Window:
    """A window of a photograph with its key-graphs.

    Attributes:
        name: of the photograph.
        number: of the window on its photograph, from 1.
        photograph: uint8 [H, W, 3].
        top, left: where the window lies.
        order: uint16 [N, max(KEYS)], the keys of each pixel; the first k are those of a graph of k.
        degrees: by k, of how many pixels each pixel is a key, int [N].
    """

    name: str
    number: int
    photograph: Image
    top: int
    left: int
    order: npt.NDArray[np.uint16]
    degrees: dict[int, npt.NDArray[np.int64]]

    @property
    def pixels(self) -> Image:
        """The window, uint8 [SIDE, SIDE, 3]."""
        return self.photograph[self.top : self.top + SIDE, self.left : self.left + SIDE]


def list_windows() -> Iterator[Window]:
    """A window of each quarter of each photograph in color, by how much its brightness varies."""
    network = kgt.create_model("kgt-tiny-x4", pretrained=True, window=SIDE).double()
    assert isinstance(network, ColumnarKGT)
    for item in load_dataset("embedded"):
        if item.image.ndim == 3:
            for number, (top, left) in enumerate(_find_windows(item.image), start=1):
                order, degrees = _connect(network, item.image, top, left)
                yield Window(item.name, number, item.image, top, left, order, degrees)


def _find_windows(image: Image) -> list[tuple[int, int]]:
    """The place of most variance in each quarter, that of most first.

    Places are steps of half a window apart, off the border, and within their quarter.
    """
    brightness = image.astype(np.float64).mean(axis=2)
    step = SIDE // 2
    height, width = brightness.shape

    def vary(place: tuple[int, int]) -> float:
        top, left = place
        return float(brightness[top : top + SIDE, left : left + SIDE].var())

    best: dict[tuple[bool, bool], tuple[int, int]] = {}
    for top in range(step, height - SIDE - step, step):
        for left in range(step, width - SIDE - step, step):
            quarter = 2 * top >= height, 2 * left >= width
            ends = 2 * (top + SIDE) > height, 2 * (left + SIDE) > width
            if quarter == ends:
                best[quarter] = max(best.get(quarter, (top, left)), (top, left), key=vary)
    return sorted(best.values(), key=vary, reverse=True)


@torch.no_grad()
def _connect(
    network: ColumnarKGT, image: Image, top: int, left: int
) -> tuple[npt.NDArray[np.uint16], dict[int, npt.NDArray[np.int64]]]:
    """Graphs of every k, in float64, so that the rounding of a processor selects no other keys."""
    # One more pixel on each side, which the first convolution sees.
    around = image[top - 1 : top + SIDE + 1, left - 1 : left + SIDE + 1] / 255.0
    shallow = network.conv_in(torch.from_numpy(around).permute(2, 0, 1)[None] - network.mean)
    tokens = network.norm_in(shallow[..., 1:-1, 1:-1].permute(0, 2, 3, 1)).flatten(1, 2)
    masks = {k: kgt.build_key_graph(tokens, k).to_mask()[0].numpy() for k in KEYS}
    rows = []
    for query in range(SIDE * SIDE):
        keys: list[int] = []
        for mask in masks.values():
            keys += sorted({*mask[query].nonzero()[0].tolist()} - {*keys})
        rows.append(keys)
    degrees = {k: mask.sum(axis=0) for k, mask in masks.items()}
    return np.array(rows, dtype=np.uint16), degrees
