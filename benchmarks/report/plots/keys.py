"""Time over the dense twin's, and peak memory, over k; a column of panels per window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.records.cell import NetworkCell
from benchmarks.records.result import NetworkLatency, NetworkMemory, Quantity
from benchmarks.report.plots.panels import (
    MIB,
    empty_figure,
    scale_keys,
    scale_ratios,
    values_and_reach,
)
from benchmarks.report.series import Records, ResultT, select

_DTYPE_MARKERS = {"float32": "o", "bfloat16": "s"}
_THREAD_STYLES = {1: ":", 2: "-"}


def draw(records: Records) -> Figure:
    """Time over the dense twin's, and peak memory, over k; a column of panels per window."""
    latency = _key_lines(records, NetworkLatency, lambda result: result.ratio)
    memory = _key_lines(records, NetworkMemory, lambda result: result.peak)
    windows = sorted({window for window, *_ in (*latency, *memory)}, reverse=True)
    if not windows:
        return empty_figure()
    backends = list(dict.fromkeys(backend for _, backend, *_ in (*latency, *memory)))
    figure = Figure(figsize=(max(3.3 * len(windows), 7), 6), layout="constrained")
    axes = figure.subplots(2, len(windows), squeeze=False, sharey="row")
    for (upper, lower), window in zip(axes.T, windows, strict=True):
        for axis, lines, unit in ((upper, latency, 1.0), (lower, memory, MIB)):
            for (own, backend, dtype, threads), line in lines.items():
                ks = sorted(line)
                if own == window:
                    values, reach = values_and_reach([line[k] for k in ks])
                    axis.errorbar(
                        ks,
                        values / unit,
                        reach / unit,
                        ls=_THREAD_STYLES[threads],
                        marker=_DTYPE_MARKERS[dtype],
                        color=f"C{backends.index(backend)}",
                        ms=3.5,
                        capsize=2,
                    )
            axis.set_xlabel("k, keys per token")
            scale_keys(axis)
        scale_ratios(upper)
        upper.set_title(f"windows of {window}x{window} tokens")
    axes[0][0].set_ylabel("time / dense twin (99 % interval)")
    axes[1][0].set_ylabel("peak memory of a call, MiB")
    handles = [
        Line2D([], [], color=f"C{index}", label=backend) for index, backend in enumerate(backends)
    ]
    used = {(dtype, threads) for _, _, dtype, threads in (*latency, *memory)}
    handles += [
        Line2D([], [], color="0.4", ls="", marker=marker, label=dtype)
        for dtype, marker in _DTYPE_MARKERS.items()
        if any(dtype == found for found, _ in used)
    ]
    handles += [
        Line2D([], [], color="0.4", ls=style, label=f"{threads} thread{'s'[: threads - 1]}")
        for threads, style in _THREAD_STYLES.items()
        if any(threads == found for _, found in used)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


# (window, backend, dtype, threads) -> k -> quantity.
_KeyLines = dict[tuple[int, str, str, int], dict[int, Quantity]]


def _key_lines(
    records: Records, results: type[ResultT], quantity: Callable[[ResultT], Quantity | None]
) -> _KeyLines:
    lines: _KeyLines = defaultdict(dict)
    for cell, result in select(records, NetworkCell, results).items():
        found = quantity(result)
        if cell.window and cell.k and found:
            key = (cell.window, str(cell.backend), str(cell.dtype), cell.threads or 0)
            lines[key][cell.k] = found
    return lines
