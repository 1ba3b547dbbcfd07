"""Figures as SVG files that are the same, byte for byte, whenever they are drawn."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
# Digests, to the last bit of every number, of what a file draws several times or cuts others by.
_NAME = re.compile(r"\b(?:[hmp]|C[0-9a-f]+_[0-9a-f]+_)[0-9a-f]{10}\b")


def render_svg(draw: Callable[[], Figure]) -> str:
    """The SVG of a figure, in the house's style; `draw` is called within that style."""
    with mpl.rc_context(_STYLE):
        stream = io.StringIO()
        draw().savefig(stream, format="svg", metadata={"Date": None})
    svg = "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"
    return _number_names(svg)


def _number_names(svg: str) -> str:
    """Name what is drawn again by its order; digests of the same picture differ by processor."""
    names = {name: f"path{n}" for n, name in enumerate(dict.fromkeys(_NAME.findall(svg)))}
    return _NAME.sub(lambda found: names[found[0]], svg)
