"""The method in a picture, and a page where a reader sees the keys of any pixel of windows."""

from __future__ import annotations

import base64
import zlib
from collections import defaultdict

import numpy as np

from benchmarks.data.images import Image
from benchmarks.report.site.keys import KEYS, SIDE, Window, list_windows
from benchmarks.report.site.library import Library
from benchmarks.report.site.pictures import encode_png
from benchmarks.report.site.writer import Site
from kgt.config import preset

_SHARED = "kgt-s-x4"
# The pixel whose keys the picture shows, and of which graph.
_QUERY, _DRAWN = (9, 9), 16


def add(site: Site, library: Library) -> None:
    """Add the pages; nothing of them is measured, so they need no record."""
    del library
    photographs: dict[str, list[Window]] = defaultdict(list)
    for window in list_windows():
        photographs[window.name].append(window)
        site.add(_path_of_photograph(window), encode_png(window.photograph))
        site.add(_path(window), encode_png(window.pixels))
    first, *_ = next(iter(photographs.values()))
    hubs = site.add("method/hubs.png", encode_png(_paint_hubs(first)))
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
        hubs={"path": hubs, **_describe_hubs(first)},
    )
    site.add_page(
        "explorer.html",
        "explorer.html",
        photographs={
            name: [_describe(window) for window in windows] for name, windows in photographs.items()
        },
        side=SIDE,
        keys=KEYS,
        data={
            f"{name}-{window.number}": _pack(window)
            for name, windows in photographs.items()
            for window in windows
        },
    )


def _path(window: Window) -> str:
    return f"method/{window.name}-{window.number}.png"


def _path_of_photograph(window: Window) -> str:
    return f"method/{window.name}.png"


def _describe(window: Window) -> dict[str, object]:
    height, width = window.photograph.shape[:2]
    return {
        "number": window.number,
        "photograph": _path_of_photograph(window),
        "pixels": _path(window),
        "height": height,
        "width": width,
        "top": window.top,
        "left": window.left,
    }


def _pack(window: Window) -> str:
    """The order of keys as little-endian 16-bit numbers, deflated, in base 64."""
    return base64.b64encode(zlib.compress(window.order.astype("<u2").tobytes(), 9)).decode()


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
