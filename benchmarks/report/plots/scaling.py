"""Time and memory over pixels on log axes, with exponents, and where memory ends."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from benchmarks.measure.closed_form import DENSE
from benchmarks.records.result import NetworkLatency, NetworkMemory
from benchmarks.report.networks import (
    FIRST_PIXELS,
    Curve,
    Sizes,
    fit_growth,
    network_lines,
    trace,
    trace_time,
)
from benchmarks.report.plots import panels
from benchmarks.report.series import Records
from benchmarks.report.signs import color_apart, sign_of_backend, sign_of_model


def draw(records: Records) -> Figure:
    """Time and memory over pixels on log axes, with exponents, and where memory ends."""
    times, memory = (network_lines(records, kind) for kind in ("latency", "memory"))
    names = list(dict.fromkeys((*times, *memory)))
    if not names:
        return panels.empty_figure()
    colors = color_apart(names, sign_of_model)
    figure, ((left, right),) = panels.make_panels(1, 2, 10.5, 5)
    seconds = {n: trace(line, NetworkLatency, lambda r: r.latency) for n, line in times.items()}
    peaks = {n: trace(line, NetworkMemory, lambda r: r.peak) for n, line in memory.items()}
    ratios = {name: trace_time(line) for name, line in times.items()}
    _draw_growth(left, seconds, 1e3, colors, ratios)
    left.set_ylabel("median time of a call, s")
    _draw_growth(right, peaks, panels.MIB, colors, peaks)
    right.set_ylabel("peak memory of a call beyond the weights, MiB")
    _draw_wall(right, memory, colors)
    for axis in (left, right):
        axis.set_xlabel("input, height x width in pixels (restored to 4x of each)")
        _scale_pixels(axis, [*times.values(), *memory.values()])
    handles = [
        panels.entry(name, color=colors[name], marker=_marker_of(name), ms=4) for name in names
    ]
    handles += [panels.entry("wants more than the limit", color="0.4", ls="", marker="x")]
    panels.add_legend(figure, handles, ncols=4)
    return figure


def _marker_of(contender: str) -> str:
    """The marker of the backend after a network's name, else of the network: colors are its own."""
    name, _, backend = contender.partition(", ")
    if name.endswith("-dense"):
        backend = DENSE
    return sign_of_backend(backend).marker if backend else sign_of_model(name).marker


def _draw_growth(
    axis: Axes,
    curves: dict[str, Curve],
    unit: float,
    colors: dict[str, str],
    fitted_to: dict[str, Curve],
) -> None:
    """A line per contender, and in a box the exponents that were fitted."""
    fitted = []
    for name, curve in curves.items():
        values = [point.value / unit for point in curve.values()]
        axis.plot(list(curve), values, lw=1.2, color=colors[name], marker=_marker_of(name), ms=4)
        if growth := fit_growth(fitted_to[name]):
            reach = (growth.hi - growth.lo) / 2
            fitted.append(f"{name}: {growth.value:.2f} ± {reach:.2f}")
    if not axis.has_data():
        panels.say_no_values(axis)
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
        height, across = 0.93 - 0.05 * index, axis.get_xaxis_transform()
        for size, tried in line.items():
            if tried.record.status == "oom":
                axis.plot([size], [height], "x", color=colors[name], transform=across)


def _scale_pixels(axis: Axes, lines: list[Sizes]) -> None:
    """A log axis of pixels, labeled with the sizes that were measured."""
    inputs = {size: attempt.cell.input for line in lines for size, attempt in line.items()}
    axis.set_xscale("log")
    axis.set_xticks(list(inputs), list(inputs.values()), rotation=30, ha="right", fontsize=7)
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
