"""The plots of tables and studies, as SVG whose bytes depend on the records alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.cli.figures import render_svg
from benchmarks.report.network_plots import (
    draw_efficiency,
    draw_keys,
    draw_pareto,
    draw_restorations,
    draw_scaling,
)
from benchmarks.report.panels import empty_figure, say_no_values, scale_keys, values_and_reach
from benchmarks.report.quality_plots import draw_quality
from benchmarks.report.series import Line, Records, attention_series
from benchmarks.report.study_plots import draw_axes, draw_crossover


def draw_plot(name: str, title: str, records: Records) -> str:
    """The SVG of a table's plot; a plot without any value says so in the picture."""

    def draw() -> Figure:
        figure = _PLOTS[name](records)
        figure.suptitle(title, fontsize=10)
        return figure

    return render_svg(draw)


def _draw_attention(records: Records) -> Figure:
    """Memory and relative time over k, one column of panels per N."""
    memory = attention_series(records, "memory", "peak")
    closed = attention_series(records, "memory", "closed_form")
    ratio = attention_series(records, "latency", "ratio")
    sizes = sorted({n for lines in (*memory.values(), *ratio.values()) for n in lines})
    if not sizes:
        return empty_figure()
    figure = Figure(figsize=(max(2.6 * len(sizes), 8), 6), layout="constrained")
    axes = figure.subplots(2, len(sizes), squeeze=False, sharey="row")
    handles = {}
    for index, backend in enumerate(dict.fromkeys((*memory, *ratio))):
        style: dict[str, Any] = {"color": f"C{index}", "ms": 3}
        for (upper, lower), n in zip(axes.T, sizes, strict=True):
            if ks := sorted(memory[backend][n]):
                values, _ = _points(memory[backend][n])
                (handles[backend],) = upper.plot(ks, values / 2**20, "o-", **style)
            if ks := sorted(closed[backend][n]):
                upper.plot(ks, _points(closed[backend][n])[0] / 2**20, ":", **style)
            if ks := sorted(ratio[backend][n]):
                values, reach = _points(ratio[backend][n])
                bars = lower.errorbar(ks, values, reach, fmt="o-", capsize=2, **style)
                handles.setdefault(backend, bars)
    for (upper, lower), n in zip(axes.T, sizes, strict=True):
        upper.set_title(f"N = {n}")
        for axis in (upper, lower):
            axis.set_xlabel("k")
            _scale_to_values(axis)
    axes[0][0].set_ylabel("peak MiB (dotted: closed form)")
    axes[1][0].set_ylabel("time / torch-mask (99 % interval)")
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=4)
    return figure


def _scale_to_values(axis: Axes) -> None:
    """Log axes for a panel's values; a panel without any says so, as it cannot be scaled."""
    if axis.has_data():
        axis.set_yscale("log")
        scale_keys(axis)
    else:
        say_no_values(axis)


def _points(line: Line) -> tuple[np.ndarray, np.ndarray]:
    """Values and reach of a line by rising k."""
    return values_and_reach([line[k] for k in sorted(line)])


_PLOTS: dict[str, Callable[[Records], Figure]] = {
    "attention": _draw_attention,
    "quality": draw_quality,
    "crossover": draw_crossover,
    "axes": draw_axes,
    "efficiency": draw_efficiency,
    "scaling": draw_scaling,
    "keys": draw_keys,
    "restoration": draw_restorations,
    "pareto": draw_pareto,
}
