"""Memory and time of attention over k, one column of panels per N."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.records.result import AttentionLatency, AttentionMemory
from benchmarks.report.plots import panels
from benchmarks.report.series import Line, Records, attention_series
from benchmarks.report.signs import color_apart, sign_of_backend


def draw(records: Records) -> Figure:
    """Memory and relative time over k, one column of panels per N."""
    memory = attention_series(records, AttentionMemory, lambda result: result.peak)
    closed = attention_series(records, AttentionMemory, lambda result: result.closed_form)
    ratio = attention_series(records, AttentionLatency, lambda result: result.ratio)
    sizes = sorted({n for lines in (*memory.values(), *ratio.values()) for n in lines})
    if not sizes:
        return panels.empty_figure()
    figure, axes = panels.make_panels(2, len(sizes), max(2.6 * len(sizes), 8), 6, sharey="row")
    handles = {}
    colors = color_apart((*memory, *ratio), sign_of_backend)
    for backend in dict.fromkeys((*memory, *ratio)):
        color, marker = colors[backend], sign_of_backend(backend).marker
        marked: dict[str, Any] = {"color": color, "marker": marker, "ms": 3}
        for (upper, lower), n in zip(axes.T, sizes, strict=True):
            if line := memory[backend][n]:
                (handles[backend],) = upper.plot(*_in_mib(line), **marked)
            if line := closed[backend][n]:
                upper.plot(*_in_mib(line), ":", color=color, ms=3)
            if line := dict(sorted(ratio[backend][n].items())):
                places, ratios = [*line], [*line.values()]
                bars = panels.draw_intervals(lower, places, ratios, **marked)
                handles.setdefault(backend, bars)
    for (upper, lower), n in zip(axes.T, sizes, strict=True):
        upper.set_title(f"N = {n:,}")
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
        panels.scale_keys(axis)
    else:
        panels.say_no_values(axis)


def _in_mib(line: Line) -> tuple[list[int], list[float]]:
    ks = sorted(line)
    return ks, [line[k].value / panels.MIB for k in ks]
