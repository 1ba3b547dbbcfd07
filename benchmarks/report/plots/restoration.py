"""Time and peak memory of restoring whole and in tiles, with the byte budget."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.records.cell import RestorationCell
from benchmarks.records.result import RestorationResult
from benchmarks.report.plots.panels import MIB, empty_figure
from benchmarks.report.series import Records, select


def draw(records: Records) -> Figure:
    """Time and peak memory of restoring whole and in tiles, with the byte budget."""
    done = select(records, RestorationCell, RestorationResult)
    if not done:
        return empty_figure()
    figure = Figure(figsize=(9.5, 0.55 * len(done) + 2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, result in enumerate(done.values()):
        for time, peak, shift, color in (
            (result.whole_time, result.whole_peak, -0.2, "C0"),
            (result.time, result.peak, 0.2, "C1"),
        ):
            style: dict[str, Any] = {"height": 0.36, "color": color}
            if time and peak:
                left.barh(place + shift, time.value, **style)
                right.barh(place + shift, peak.value / MIB, **style)
    for budget in sorted({result.budget.value for result in done.values()}):
        right.axvline(budget / MIB, color="0.2", ls="--", lw=1)
    labels = [f"{cell.model}\n{_describe_output(cell)}" for cell in done]
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


def _describe_output(cell: RestorationCell) -> str:
    """Width x height of what an input is restored to at x4, as formats are named."""
    height, width = cell.size
    return f"{4 * width}x{4 * height}"
