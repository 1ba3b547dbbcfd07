"""Time over the dense twin's, and peak memory, over k; a column of panels per window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from matplotlib.figure import Figure

from benchmarks.records.cell import NetworkCell
from benchmarks.records.environment import describe_threads
from benchmarks.records.result import NetworkLatency, NetworkMemory, Quantity
from benchmarks.report.plots import panels
from benchmarks.report.series import Records, ResultT, select
from benchmarks.report.signs import sign_of_backend

_DTYPE_MARKERS = {"float32": "o", "bfloat16": "s"}
_THREAD_STYLES = {1: ":", 2: "-"}


def draw(records: Records) -> Figure:
    """Time over the dense twin's, and peak memory, over k; a column of panels per window."""
    latency = _key_lines(records, NetworkLatency, lambda result: result.ratio)
    memory = _key_lines(records, NetworkMemory, lambda result: result.peak)
    both = [*latency, *memory]
    windows = sorted({window for window, *_ in both}, reverse=True)
    if not windows:
        return panels.empty_figure()
    backends = list(dict.fromkeys(backend for _, backend, *_ in both))
    figure, axes = panels.make_panels(2, len(windows), max(3.3 * len(windows), 7), 6, sharey="row")
    for (upper, lower), window in zip(axes.T, windows, strict=True):
        for axis, lines, unit in ((upper, latency, 1.0), (lower, memory, panels.MIB)):
            for (own, backend, dtype, threads), line in lines.items():
                if own == window:
                    ks = sorted(line)
                    style = {"ls": _THREAD_STYLES[threads], "marker": _DTYPE_MARKERS[dtype]}
                    style["color"] = sign_of_backend(backend).color
                    panels.draw_intervals(axis, ks, [line[k] for k in ks], unit, ms=3.5, **style)
            axis.set_xlabel("k, keys per token")
            panels.scale_keys(axis)
        panels.scale_ratios(upper)
        upper.set_title(f"windows of {window}x{window} tokens")
    axes[0][0].set_ylabel("time / dense twin (99 % interval)")
    axes[1][0].set_ylabel("peak memory of a call, MiB")
    _, _, dtypes, counts = map(set, zip(*both, strict=True))
    handles = [
        *(panels.entry(backend, color=sign_of_backend(backend).color) for backend in backends),
        *(
            panels.entry(dtype, color="0.4", ls="", marker=marker)
            for dtype, marker in _DTYPE_MARKERS.items()
            if dtype in dtypes
        ),
        *(
            panels.entry(describe_threads(count), color="0.4", ls=style)
            for count, style in _THREAD_STYLES.items()
            if count in counts
        ),
    ]
    panels.add_legend(figure, handles)
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
