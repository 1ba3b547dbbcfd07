"""The method in a picture, and a page where a reader sees the keys of any pixel of a window."""

from __future__ import annotations

import base64
import io

import numpy as np
import PIL.Image

from benchmarks.data.images import Image
from benchmarks.report.site.keys import KEYS, SIDE, Window, list_windows
from benchmarks.report.site.library import Library
from benchmarks.report.site.writer import Site
from kgt.config import preset

_SHARED = "kgt-s-x4"
# The pixel whose keys the picture shows, and of which graph.
_QUERY, _DRAWN = (9, 9), 16


def add(site: Site, library: Library) -> None:
    """Add the pages; nothing of them is measured, so they need no record."""
    del library
    windows = list(list_windows())
    for window in windows:
        site.add(_path(window, "photograph"), _encode(window.photograph))
        site.add(_path(window, "window"), _encode(window.pixels))
        site.add(_path(window, "hubs"), _encode(_paint_hubs(window)))
    first = windows[0]
    query = _QUERY[0] * SIDE + _QUERY[1]
    site.add_page(
        "method.html",
        "method.html",
        window=_describe(first),
        side=SIDE,
        query=_QUERY,
        k=_DRAWN,
        edges=[divmod(int(key), SIDE) for key in first.order[query, :_DRAWN]],
        layers=preset(_SHARED).depths[0],
        network=_SHARED,
        hubs=_describe_hubs(first),
    )
    site.add_page(
        "explorer.html",
        "explorer.html",
        windows=[_describe(window) for window in windows],
        side=SIDE,
        keys=KEYS,
        data={window.name: _pack(window) for window in windows},
    )


def _path(window: Window, what: str) -> str:
    return f"method/{window.name}-{what}.png"


def _describe(window: Window) -> dict[str, object]:
    height, width = window.photograph.shape[:2]
    return {
        "name": window.name,
        "photograph": _path(window, "photograph"),
        "pixels": _path(window, "window"),
        "hubs": _path(window, "hubs"),
        "height": height,
        "width": width,
        "top": window.top,
        "left": window.left,
    }


def _pack(window: Window) -> str:
    """The order of keys as little-endian 16-bit numbers in base 64."""
    return base64.b64encode(window.order.astype("<u2").tobytes()).decode()


def _describe_hubs(window: Window) -> dict[str, object]:
    """How uneven the graph is."""
    degrees = window.degrees[max(KEYS)]
    return {
        "k": max(KEYS),
        "most": int(degrees.max()),
        "share": float(degrees.max() / degrees.size),
        "never": float((degrees == 0).mean()),
    }


def _paint_hubs(window: Window) -> Image:
    """Of how many pixels each pixel is a key, from white to dark blue by the square root."""
    degrees = window.degrees[max(KEYS)].reshape(SIDE, SIDE)
    strength = np.sqrt(degrees / max(int(degrees.max()), 1))[..., None]
    light, dark = np.array([247, 247, 247]), np.array([0, 60, 120])
    return np.asarray(light + (dark - light) * strength).round().astype(np.uint8)


def _encode(image: Image) -> bytes:
    stream = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(image)).save(stream, "PNG", optimize=True)
    return stream.getvalue()
