"""Time against multiply-adds, a panel per size of input; the area is the parameters."""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmarks.records.cell import NetworkCell
from benchmarks.records.result import CostResult, NetworkLatency
from benchmarks.report.plots.panels import (
    empty_figure,
    make_panels,
    scale_plainly,
)
from benchmarks.report.series import Records, select
from benchmarks.report.signs import color_apart, sign_of_model


def draw(records: Records) -> Figure:
    """Time against multiply-adds, a panel per size of input; the area is the parameters."""
    costs = {(c.input, c.contender): r for c, r in select(records, NetworkCell, CostResult).items()}
    timed = select(records, NetworkCell, NetworkLatency)
    times = {(cell.input, cell.contender): result for cell, result in timed.items()}
    shown = [network for network in costs if network in times]
    inputs = list(dict.fromkeys(size for size, _ in shown))
    if not shown:
        return empty_figure()
    figure, (axes,) = make_panels(1, len(inputs), max(5 * len(inputs), 6), 4.5)
    colors = color_apart((name for _, name in shown), sign_of_model)
    for axis, size in zip(axes, inputs, strict=True):
        for network in (n for n in shown if n[0] == size):
            cost, latency = costs[network], times[network].latency.value / 1e3
            flops, millions = cost.flops.value, cost.parameters.value / 1e6
            color = colors[network[1]]
            axis.scatter(flops / 2e9, latency, s=12 * millions, alpha=0.5, color=color)
            label = f"{network[1]} ({millions:.1f} M)"
            axis.plot([], [], "o", color=color, alpha=0.5, label=label)
        axis.set(title=f"input {size}", xscale="log", yscale="log")
        axis.set_xlabel("multiply-adds, G (area: parameters)")
        axis.set_ylabel("median time of a call, s")
        for line in (axis.xaxis, axis.yaxis):
            scale_plainly(line)
        axis.margins(x=0.3, y=0.2)
        axis.legend(fontsize=7)
    return figure
