"""Vega: its script for readers, and charts drawn by it; light, for a process of its own."""

from __future__ import annotations

import re

import vl_convert

_TAG = re.compile("<[^<>]+>")
# Attributes of Vega's SVGs that change nothing where one is shown as a picture: names for scripts
# and for readers of the screen, which do not enter a picture, and values that hold anyway.
_UNSEEN = re.compile(
    ' (?:(?:class|role|pointer-events|aria-[a-z]+)="[^"]*"|(?:stroke-width|opacity)="1")'
)


def bundle_vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script for all pages, with `vegaEmbed` as a global."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def draw_svg(spec: str) -> str:
    """The SVG of a chart in Vega-Lite."""
    svg = vl_convert.vegalite_to_svg(spec)
    return _TAG.sub(lambda tag: _UNSEEN.sub("", tag[0]), svg) + "\n"
