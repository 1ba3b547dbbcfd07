"""The plots of whole networks: over pixels, over keys, and quality against time."""

from __future__ import annotations

from collections import defaultdict
from itertools import cycle
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from benchmarks.records.record import Record
from benchmarks.report.panels import (
    empty_figure,
    say_no_values,
    scale_keys,
    scale_plainly,
    scale_ratios,
    values_and_reach,
)
from benchmarks.report.pareto import Method, pareto_front, place_methods
from benchmarks.report.scaling import FIRST_PIXELS, Sizes, fit_growth, network_lines
from benchmarks.report.series import Records

_MIB = 2**20
_DTYPE_MARKERS = {"float32": "o", "bfloat16": "s"}
_THREAD_STYLES = {1: ":", 2: "-"}


def draw_scaling(records: Records) -> Figure:
    """Time and memory over pixels on log axes, with exponents, and where memory ends."""
    times, memory = (network_lines(records, kind) for kind in ("latency", "memory"))
    names = list(dict.fromkeys((*times, *memory)))
    if not names:
        return empty_figure()
    colors = {name: f"C{index}" for index, name in enumerate(names)}
    figure = Figure(figsize=(10.5, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_growth(left, times, "latency", 1e3, colors)
    left.set_ylabel("median time of a call, s")
    _draw_growth(right, memory, "peak", _MIB, colors)
    right.set_ylabel("peak memory of a call beyond the weights, MiB")
    _draw_wall(right, memory, colors)
    for axis in (left, right):
        axis.set_xlabel("input, height x width in pixels (restored to 4x of each)")
        _scale_pixels(axis, [*times.values(), *memory.values()])
    handles = [Line2D([], [], color=colors[name], marker="o", ms=3, label=name) for name in names]
    handles += [Line2D([], [], color="0.4", ls="", marker="x", label="wants more than the limit")]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _draw_growth(
    axis: Axes, lines: dict[str, Sizes], metric: str, unit: float, colors: dict[str, str]
) -> None:
    """A line per contender, and in a box the exponents that were fitted."""
    fitted = []
    for name, line in lines.items():
        points = {size: r.metrics[metric].value for size, r in line.items() if metric in r.metrics}
        values = [value / unit for value in points.values()]
        axis.plot(list(points), values, "o-", ms=3, lw=1.2, color=colors[name])
        growth = fit_growth(line, metric)
        if growth is not None:
            reach = (growth.hi - growth.lo) / 2
            fitted.append(f"{name}: {growth.value:.2f} ± {reach:.2f}")
    if not axis.has_data():
        say_no_values(axis)
        return
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    if fitted:
        heading = f"exponent in pixels, from {FIRST_PIXELS:,} on (99 %)"
        text = "\n".join([heading, *fitted])
        axis.text(0.03, 0.97, text, transform=axis.transAxes, fontsize=6.5, va="top")


def _draw_wall(axis: Axes, lines: dict[str, Sizes], colors: dict[str, str]) -> None:
    """A cross at the top of the panel for every size that did not fit."""
    for index, (name, line) in enumerate(lines.items()):
        failed = [size for size, record in line.items() if record.status == "oom"]
        height = 0.93 - 0.05 * index
        for size in failed:
            axis.plot(
                [size], [height], "x", color=colors[name], transform=axis.get_xaxis_transform()
            )


def _scale_pixels(axis: Axes, lines: list[Sizes]) -> None:
    """A log axis of pixels, labeled with the sizes that were measured."""
    inputs = {size: str(r.cell.input) for line in lines for size, r in line.items()}
    axis.set_xscale("log")
    axis.set_xticks(list(inputs), list(inputs.values()), rotation=30, ha="right", fontsize=7)
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())


def draw_keys(records: Records) -> Figure:
    """Time over the dense twin's, and peak memory, over k; a column of panels per window."""
    latency, memory = (_key_lines(records, kind) for kind in ("latency", "memory"))
    windows = sorted({window for window, *_ in (*latency, *memory)}, reverse=True)
    if not windows:
        return empty_figure()
    backends = list(dict.fromkeys(backend for _, backend, *_ in (*latency, *memory)))
    figure = Figure(figsize=(max(3.3 * len(windows), 7), 6), layout="constrained")
    axes = figure.subplots(2, len(windows), squeeze=False, sharey="row")
    for (upper, lower), window in zip(axes.T, windows, strict=True):
        for axis, lines, metric, unit in (
            (upper, latency, "ratio", 1.0),
            (lower, memory, "peak", _MIB),
        ):
            for (own, backend, dtype, threads), line in lines.items():
                ks = sorted(k for k, record in line.items() if metric in record.metrics)
                if own == window and ks:
                    values, reach = values_and_reach([line[k].metrics[metric] for k in ks])
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


_KeyLine = tuple[int, str, str, int]


def _key_lines(records: Records, kind: str) -> dict[_KeyLine, dict[int, Record]]:
    """Records as (window, backend, dtype, threads) -> k -> record."""
    lines: dict[_KeyLine, dict[int, Record]] = defaultdict(dict)
    for cell, record in records.items():
        if cell.kind == kind and cell.window and cell.k and record.status == "ok":
            key = (cell.window, str(cell.backend), str(cell.dtype), cell.threads or 0)
            lines[key][cell.k] = record
    return lines


def draw_restorations(records: Records) -> Figure:
    """Time and peak memory of restoring whole and in tiles, with the byte budget."""
    done = {c: r.metrics for c, r in records.items() if c.kind == "restoration" and r.metrics}
    done = {cell: metrics for cell, metrics in done.items() if "peak" in metrics}
    if not done:
        return empty_figure()
    figure = Figure(figsize=(9.5, 0.55 * len(done) + 2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, metrics in enumerate(done.values()):
        for prefix, shift, color in (("whole_", -0.2, "C0"), ("", 0.2, "C1")):
            style: dict[str, Any] = {"height": 0.36, "color": color}
            if f"{prefix}peak" in metrics:
                left.barh(place + shift, metrics[f"{prefix}time"].value, **style)
                right.barh(place + shift, metrics[f"{prefix}peak"].value / _MIB, **style)
    for budget in sorted({metrics["budget"].value for metrics in done.values()}):
        right.axvline(budget / _MIB, color="0.2", ls="--", lw=1)
    labels = [f"{cell.model}\n{_describe_output(str(cell.input))}" for cell in done]
    left.set_yticks(range(len(done)), labels, fontsize=7)
    left.set_ylim(len(done) - 0.5, -0.5)
    left.set_xlabel("time of one run, s")
    right.set_xlabel("growth of the resident set, MiB")
    handles: list[Any] = [
        Line2D([], [], color="C0", lw=6, label="whole"),
        Line2D([], [], color="C1", lw=6, label="in tiles within the budget"),
        Line2D([], [], color="0.2", ls="--", label="budget"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _describe_output(size: str) -> str:
    """Width x height of what an input is restored to at x4, as formats are named."""
    height, _, width = size.partition("x")
    return f"{4 * int(width)}x{4 * int(height)}"


def draw_pareto(records: Records) -> Figure:
    """PSNR over relative time, a panel per task, a marker per k, the front joined by a line."""
    placed = place_methods(records)
    if not placed:
        return empty_figure()
    figure = Figure(figsize=(max(4.2 * len(placed), 5), 4), layout="constrained")
    axes = figure.subplots(1, len(placed), squeeze=False)[0]
    baselines = {cell.task: cell.baseline for cell in records if cell.kind == "latency"}
    keys = sorted({m.k for methods in placed.values() for m in methods if m.k is not None})
    markers: dict[int | None, str] = {None: "o", **dict(zip(keys, cycle("^>v<sDpX"), strict=False))}
    for axis, ((task, dataset), methods) in zip(axes, placed.items(), strict=True):
        _draw_methods(axis, methods, markers)
        axis.set_title(f"{task}, {dataset}")
        axis.set_xlabel(f"time / {baselines[task]} (99 % interval)")
        axis.set_ylabel("PSNR, dB")
    handles = [
        Line2D(
            [], [], color="0.2", lw=1, marker="o", ms=4, label="front: no faster one is as good"
        ),
        Line2D([], [], color="0.2", ls="", marker="o", mfc="w", ms=4, label="behind it"),
        *(
            Line2D([], [], color="0.2", ls="", marker=markers[k], ms=4, label=f"k = {k}")
            for k in keys
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_methods(axis: Axes, methods: list[Method], markers: dict[int | None, str]) -> None:
    front = pareto_front(methods)
    axis.plot([m.ratio.value for m in front], [m.psnr for m in front], color="0.2", lw=1)
    models = list(dict.fromkeys(method.model for method in methods))
    for method in methods:
        values, reach = values_and_reach([method.ratio])
        color = f"C{models.index(method.model)}"
        inside = color if method in front else "w"
        style: dict[str, Any] = {"fmt": markers[method.k], "color": color, "mfc": inside}
        axis.errorbar(values, [method.psnr], xerr=reach, ms=4, capsize=2, **style)
    labels = [
        Line2D([], [], color=f"C{index}", ls="", marker="o", ms=4, label=model)
        for index, model in enumerate(models)
    ]
    axis.legend(handles=labels, loc="upper left", fontsize=7)
    axis.set_xscale("log")
    scale_plainly(axis.xaxis)
    axis.margins(x=0.25, y=0.3)


def draw_efficiency(records: Records) -> Figure:
    """Time against multiply-adds, a panel per size of input; the area is the parameters."""
    costs, times = (
        {(c.input, c.contender): r for c, r in records.items() if c.kind == kind and c.model}
        for kind in ("cost", "latency")
    )
    shown = [
        network
        for network in costs
        if "flops" in costs[network].metrics
        and network in times
        and "latency" in times[network].metrics
    ]
    inputs = list(dict.fromkeys(size for size, _ in shown))
    if not shown:
        return empty_figure()
    figure = Figure(figsize=(max(5 * len(inputs), 6), 4.5), layout="constrained")
    axes = figure.subplots(1, len(inputs), squeeze=False)[0]
    for axis, size in zip(axes, inputs, strict=True):
        for index, network in enumerate(n for n in shown if n[0] == size):
            cost, latency = costs[network].metrics, times[network].metrics["latency"].value / 1e3
            flops, millions = cost["flops"].value, cost["parameters"].value / 1e6
            color = f"C{index % 10}"
            axis.scatter(flops / 2e9, latency, s=12 * millions, alpha=0.5, color=color)
            label = f"{network[1]} ({millions:.1f} M)"
            axis.plot([], [], "o", color=color, alpha=0.5, label=label)
        axis.set_title(f"input {size}")
        axis.set_xlabel("multiply-adds, G (area: parameters)")
        axis.set_ylabel("median time of a call, s")
        axis.set_xscale("log")
        axis.set_yscale("log")
        for line in (axis.xaxis, axis.yaxis):
            scale_plainly(line)
        axis.margins(x=0.3, y=0.2)
        axis.legend(fontsize=7)
    return figure
