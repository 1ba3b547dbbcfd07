"""Figures as SVG files that are the same, byte for byte, whenever they are drawn."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "kgt",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
# Of paths that a file refers to, digests of where they lie, to the last bit.
_NAME = re.compile(r"\b[mp][0-9a-f]{10}\b")


def render_svg(draw: Callable[[], Figure]) -> str:
    """The SVG of a figure, in the house's style; `draw` is called within that style."""
    # Names within the file are made of numbers as numpy prints them, which other packages change.
    with mpl.rc_context(_STYLE), np.printoptions(legacy=False):
        stream = io.StringIO()
        draw().savefig(stream, format="svg", metadata={"Date": None})
    svg = "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"
    return _number_names(svg)


def _number_names(svg: str) -> str:
    """Name paths by their order: last bits differ between processors, what is drawn does not."""
    names = {name: f"path{n}" for n, name in enumerate(dict.fromkeys(_NAME.findall(svg)))}
    return _NAME.sub(lambda found: names[found[0]], svg)
