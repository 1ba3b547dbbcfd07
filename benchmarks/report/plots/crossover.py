"""Time over dense attention's against the share of keys, one panel per N."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from benchmarks.report.plots import panels
from benchmarks.report.series import Records, latency_lines
from benchmarks.report.signs import BACKENDS, sign_of_backend

_GRAPH_STYLES: dict[str, dict[str, Any]] = {
    "photo": {"ls": "-", "marker": "o"},
    "random": {"ls": "--", "marker": "s"},
}
# What auto chose lies on another line, so it gets rings around that line's marks.
_AUTO_STYLE = {"ls": "", "mfc": "none", "ms": 7, "color": BACKENDS["auto"].color}


def draw(records: Records) -> Figure:
    """Time over dense attention's against the share of keys, one panel per N."""
    lines = latency_lines(records)
    if not lines:
        return panels.empty_figure()
    sizes = sorted({n for n, _ in lines})
    figure, (axes,) = panels.make_panels(1, len(sizes), max(3.4 * len(sizes), 7), 3.8, sharey=True)
    names = dict.fromkeys(name for contenders in lines.values() for name in contenders)
    styles: dict[str, dict[str, Any]] = {
        name: {"ms": 3, "color": sign_of_backend(name).color} for name in names
    }
    styles["auto"] = _AUTO_STYLE
    for axis, n in zip(axes, sizes, strict=True):
        for (size, graph), contenders in lines.items():
            for name, line in contenders.items() if size == n else ():
                ks, style = sorted(line), {**_GRAPH_STYLES[graph], **styles[name]}
                panels.draw_intervals(
                    axis, [k / n for k in ks], [line[k].ratio for k in ks], **style
                )
        axis.set_title(f"N = {n:,} tokens")
        axis.set_xlabel("k / N (share of keys kept)")
        panels.scale_keys(axis)
        panels.scale_ratios(axis)
    axes[0].set_ylabel("time / dense (99 % interval)")
    handles = [panels.entry(name, **{"marker": "o", **styles[name]}) for name in names]
    handles += [
        panels.entry(f"{graph} graph", color="0.5", ms=3, **_GRAPH_STYLES[graph])
        for graph in sorted({graph for _, graph in lines})
    ]
    panels.add_legend(figure, handles)
    return figure
