"""PSNR over relative time: methods, and the front that no faster one is as good as."""

from __future__ import annotations

from collections import defaultdict
from itertools import cycle
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.records.cell import NetworkCell, QualityCell
from benchmarks.records.result import NetworkLatency, QualityResult, Quantity
from benchmarks.report.plots import panels
from benchmarks.report.series import Records, select
from benchmarks.report.signs import color_apart, sign_of_model


class Method(NamedTuple):
    """A method's place in the plane of time over the baseline's and PSNR in dB."""

    model: str
    k: int | None
    psnr: float
    ratio: Quantity


def place_methods(records: Records) -> dict[tuple[str, str], list[Method]]:
    """Methods that have both a time and a PSNR, by (task, set), the fastest first."""
    times = {
        (cell.task, cell.model, cell.recipe, cell.k): result.ratio
        for cell, result in select(records, NetworkCell, NetworkLatency).items()
    }
    placed: dict[tuple[str, str], list[Method]] = defaultdict(list)
    for cell, result in select(records, QualityCell, QualityResult).items():
        ratio = times.get((cell.task, cell.model, cell.recipe, cell.k))
        psnr = result.quantity("psnr")
        if ratio is not None and psnr is not None:
            placed[cell.task, cell.dataset].append(Method(cell.model, cell.k, psnr.value, ratio))
    return {
        key: sorted(methods, key=lambda method: method.ratio.value)
        for key, methods in placed.items()
    }


def pareto_front(methods: list[Method]) -> list[Method]:
    """Those of methods, the fastest first, that no faster one equals in quality."""
    front: list[Method] = []
    for method in methods:
        if not front or method.psnr > front[-1].psnr:
            front.append(method)
    return front


def draw(records: Records) -> Figure:
    """PSNR over relative time, a panel per task, a marker per k, the front joined by a line."""
    placed = place_methods(records)
    if not placed:
        return panels.empty_figure()
    figure, (axes,) = panels.make_panels(1, len(placed), max(4.2 * len(placed), 5), 4)
    baselines = {
        cell.task: cell.baseline
        for cell in records
        if isinstance(cell, NetworkCell) and cell.kind == "latency"
    }
    keys = sorted({m.k for methods in placed.values() for m in methods if m.k is not None})
    markers: dict[int | None, str] = {None: "o", **dict(zip(keys, cycle("^>v<sDpX"), strict=False))}
    for axis, ((task, dataset), methods) in zip(axes, placed.items(), strict=True):
        _draw_methods(axis, methods, markers)
        axis.set_title(f"{task}, {dataset}")
        axis.set_xlabel(f"time / {baselines[task]} (99 % interval)")
        axis.set_ylabel("PSNR, dB")
    handles = [
        panels.entry("front: no faster one is as good", color="0.2", lw=1, marker="o", ms=4),
        panels.entry("behind it", color="0.2", ls="", marker="o", mfc="w", ms=4),
        *(panels.entry(f"k = {k}", color="0.2", ls="", marker=markers[k], ms=4) for k in keys),
    ]
    panels.add_legend(figure, handles)
    return figure


def _draw_methods(axis: Axes, methods: list[Method], markers: dict[int | None, str]) -> None:
    front = pareto_front(methods)
    axis.plot([m.ratio.value for m in front], [m.psnr for m in front], color="0.2", lw=1)
    colors = color_apart((method.model for method in methods), sign_of_model)
    for method in methods:
        values, reach = panels.values_and_reach([method.ratio])
        color = colors[method.model]
        inside = color if method in front else "w"
        style: dict[str, Any] = {"fmt": markers[method.k], "color": color, "mfc": inside}
        axis.errorbar(values, [method.psnr], xerr=reach, ms=4, capsize=2, **style)
    labels = [
        panels.entry(model, color=color, ls="", marker="o", ms=4) for model, color in colors.items()
    ]
    axis.legend(handles=labels, loc="upper left", fontsize=7)
    axis.set_xscale("log")
    panels.scale_plainly(axis.xaxis)
    axis.margins(x=0.25, y=0.3)
