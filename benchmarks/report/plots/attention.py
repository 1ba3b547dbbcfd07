"""Memory and time of attention over k, one column of panels per N."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.records.result import AttentionLatency, AttentionMemory
from benchmarks.report.plots.panels import empty_figure, say_no_values, scale_keys, values_and_reach
from benchmarks.report.series import Line, Records, attention_series


def draw(records: Records) -> Figure:
    """Memory and relative time over k, one column of panels per N."""
    memory = attention_series(records, AttentionMemory, lambda result: result.peak)
    closed = attention_series(records, AttentionMemory, lambda result: result.closed_form)
    ratio = attention_series(records, AttentionLatency, lambda result: result.ratio)
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
