"""The picture of the method in the README: a real key-graph on a real photograph.

It shows an eye of the embedded photograph `astronaut`. The graph is the one that the first stage
of the shipped network `kgt-tiny-x4` builds there, in a window of 32x32 pixels with k = 64.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

import kgt
from benchmarks.cli.figures import render_svg
from benchmarks.data.datasets import load_dataset
from kgt.network.model import ColumnarKGT

_WINDOW, _KEYS = 32, 64
_TOP, _LEFT = 90, 190
_QUERY = (8, 8)
_COLOR = "#00a651"

Colors = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def draw_method() -> str:
    """The picture as SVG: all keys of a pixel, its keys in the graph, and a stage."""
    window, keys = _connect_window()
    return render_svg(lambda: _draw(window, keys))


@torch.no_grad()
def _connect_window() -> tuple[Colors, Mask]:
    """Colors [M, M, 3] of the window, and which of its pixels [M, M] are keys of the query.

    In float64, so that the rounding of another processor selects the same keys.
    """
    image = next(item.image for item in load_dataset("embedded") if item.name == "astronaut")
    network = kgt.create_model("kgt-tiny-x4", pretrained=True, window=_WINDOW).double()
    assert isinstance(network, ColumnarKGT)
    # One more pixel on each side, which the first convolution sees.
    around = image[_TOP - 1 : _TOP + _WINDOW + 1, _LEFT - 1 : _LEFT + _WINDOW + 1] / 255.0
    shallow = network.conv_in(torch.from_numpy(around).permute(2, 0, 1)[None] - network.mean)
    tokens = network.norm_in(shallow[..., 1:-1, 1:-1].permute(0, 2, 3, 1)).flatten(1, 2)
    graph = kgt.build_key_graph(tokens, _KEYS)
    row, column = _QUERY
    keys = graph.to_mask()[0, row * _WINDOW + column].view(_WINDOW, _WINDOW)
    return around[1:-1, 1:-1], keys.numpy()


def _draw(window: Colors, keys: Mask) -> Figure:
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    dense, sparse, stage = figure.subplots(1, 3, width_ratios=(1, 1, 0.9))
    _draw_window(dense, window, np.ones_like(keys))
    dense.set_title(f"Window attention: a pixel attends\nto all {keys.size:,} pixels of its window")
    _draw_window(sparse, window, keys)
    sparse.set_title(f"Key-graph attention: it attends\nto its {keys.sum()} most similar pixels")
    _draw_stage(stage)
    stage.set_title("A stage builds the graph once,\nand its layers share it")
    return figure


def _draw_window(axes: Axes, colors: Colors, shown: Mask) -> None:
    """The pixels of a window that are shown, and a frame around the query."""
    rows, columns = shown.nonzero()
    axes.scatter(columns, rows, s=52, c=colors[shown], marker="s", linewidths=0, clip_on=False)
    row, column = _QUERY
    axes.scatter(column, row, s=80, marker="s", facecolors="none", edgecolors=_COLOR, linewidths=2)
    axes.spines[:].set_visible(True)
    edge = _WINDOW - 0.5
    axes.set(xlim=(-0.5, edge), ylim=(edge, -0.5), aspect="equal", xticks=[], yticks=[])


def _draw_stage(axes: Axes) -> None:
    """A stage from top to bottom, with the way of its graph at the right."""
    left, right, top, step = 3.1, 8.6, 9.1, 2.0
    axes.set(xlim=(0, 10), ylim=(0, 10))
    axes.axis("off")
    names = ("tokens", "layer 1", "layer 2", "further layers", "convolution, + tokens")
    heights = [top - step * index for index in range(len(names))]
    for name, height in zip(names, heights, strict=True):
        _draw_box(axes, left, height, 5.6, name, "white")
    for above, below in pairwise(heights):
        _draw_arrow(axes, (left, above - 0.6), (left, below + 0.6), "black")
    _draw_box(axes, right, top, 2.6, "key-graph", "#d5f0df")
    _draw_arrow(axes, (left + 2.8, top), (right - 1.3, top), "black")
    axes.plot([right, right], [top - 0.6, heights[3]], color=_COLOR, linewidth=1)
    for height in heights[1:4]:
        _draw_arrow(axes, (right, height), (left + 2.8, height), _COLOR)


def _draw_box(axes: Axes, x: float, y: float, width: float, text: str, color: str) -> None:
    """A box of the given width around its center."""
    corner, style = (x - width / 2, y - 0.6), "round,pad=0,rounding_size=0.2"
    axes.add_patch(FancyBboxPatch(corner, width, 1.2, boxstyle=style, fc=color, ec="black"))
    axes.text(x, y, text, ha="center", va="center", fontsize=8)


def _draw_arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str
) -> None:
    arrow = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=arrow)
