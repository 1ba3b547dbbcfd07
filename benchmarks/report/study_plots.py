"""The plots of studies: time relative to a baseline over k, and along one axis at a time."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.report.panels import (
    empty_figure,
    say_no_values,
    scale_keys,
    scale_ratios,
    values_and_reach,
)
from benchmarks.report.series import Records, Sweep, axis_sweeps, latency_lines

_GRAPH_STYLES: dict[str, dict[str, Any]] = {
    "photo": {"ls": "-", "marker": "o"},
    "random": {"ls": "--", "marker": "s"},
}
# What auto chose lies on another line, so it gets rings around that line's marks.
_AUTO_STYLE = {"ls": "", "mfc": "none", "ms": 7, "color": "0.1"}
_AXIS_LABELS = {
    "head_dim": "head dimension D",
    "heads": "heads H",
    "dtype": "element type",
    "threads": "threads",
    "bias": "position bias",
    "mode": "passes",
    "graph": "graph",
}


def draw_crossover(records: Records) -> Figure:
    """Time over dense attention's against the share of keys, one panel per N."""
    lines = latency_lines(records)
    if not lines:
        return empty_figure()
    sizes = sorted({n for n, _ in lines})
    figure = Figure(figsize=(max(3.4 * len(sizes), 7), 3.8), layout="constrained")
    axes = figure.subplots(1, len(sizes), squeeze=False, sharey=True)[0]
    names = dict.fromkeys(name for contenders in lines.values() for name in contenders)
    styles: dict[str, dict[str, Any]] = {
        name: {"ms": 3, "color": f"C{index}"} for index, name in enumerate(names)
    }
    styles["auto"] = _AUTO_STYLE
    for axis, n in zip(axes, sizes, strict=True):
        for (size, graph), contenders in lines.items():
            for name, line in contenders.items() if size == n else ():
                ks = sorted(line)
                values, reach = values_and_reach([line[k].metrics["ratio"] for k in ks])
                style = {**_GRAPH_STYLES[graph], **styles[name]}
                axis.errorbar([k / n for k in ks], values, reach, capsize=2, **style)
        axis.set_title(f"N = {n} tokens")
        axis.set_xlabel("k / N (share of keys kept)")
        scale_keys(axis)
        scale_ratios(axis)
    axes[0].set_ylabel("time / dense (99 % interval)")
    handles = [Line2D([], [], label=name, **{"marker": "o", **styles[name]}) for name in names]
    handles += [
        Line2D([], [], label=f"{graph} graph", color="0.5", ms=3, **_GRAPH_STYLES[graph])
        for graph in sorted({graph for _, graph in lines})
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def draw_axes(records: Records) -> Figure:
    """Time over the baseline's along each axis around the common problem, one panel per axis."""
    sweeps = axis_sweeps(records)
    if not sweeps:
        return empty_figure()
    rows = -(-len(sweeps) // 4)
    columns = -(-len(sweeps) // rows)
    figure = Figure(figsize=(max(2.6 * columns, 5), 2.7 * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    pairs = sorted(
        {pair for sweep in sweeps.values() for pairs in sweep.values() for pair in pairs}
    )
    for axis, (name, sweep) in zip(axes.flat, sweeps.items(), strict=False):
        _draw_sweep(axis, sweep, pairs)
        axis.set_xlabel(_AXIS_LABELS[name])
    for axis in axes.flat[len(sweeps) :]:
        axis.set_axis_off()
    for row in axes:
        row[0].set_ylabel("time / baseline (99 % interval)")
    handles = [
        Line2D(
            [], [], color=f"C{index}", marker="o", ls="", ms=4, label=f"{contender} / {baseline}"
        )
        for index, (contender, baseline) in enumerate(pairs)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_sweep(axis: Axes, sweep: Sweep, pairs: list[tuple[str, str]]) -> None:
    """Dots with intervals side by side at every value of an axis."""
    if not any(sweep.values()):
        say_no_values(axis)
        return
    for index, pair in enumerate(pairs):
        places = [place for place, found in enumerate(sweep.values()) if pair in found]
        values, reach = values_and_reach([f[pair] for f in sweep.values() if pair in f])
        shift = 0.16 * (index - (len(pairs) - 1) / 2)
        positions = [place + shift for place in places]
        axis.errorbar(positions, values, reach, fmt="o", ms=4, capsize=3, color=f"C{index}")
    scale_ratios(axis)
    axis.set_xticks(range(len(sweep)), [_describe_value(value) for value in sweep])
    axis.set_xlim(-0.6, len(sweep) - 0.4)
    axis.grid(visible=False, axis="x")


def _describe_value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return {"backward": "forward +\nbackward"}.get(str(value), str(value))
