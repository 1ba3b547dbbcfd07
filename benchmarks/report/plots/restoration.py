"""Time and peak memory of restoring whole and in tiles, with the byte budget."""

from __future__ import annotations

from matplotlib.figure import Figure

from benchmarks.records.cell import RestorationCell
from benchmarks.records.result import RestorationResult
from benchmarks.report.plots.panels import MIB, add_legend, empty_figure, entry, make_panels
from benchmarks.report.series import Records, select
from benchmarks.report.signs import ARMS


def draw(records: Records) -> Figure:
    """Time and peak memory of restoring whole and in tiles, with the byte budget."""
    done = select(records, RestorationCell, RestorationResult)
    if not done:
        return empty_figure()
    figure, ((left, right),) = make_panels(1, 2, 9.5, 0.55 * len(done) + 2, sharey=True)
    whole, tiled = ARMS[:2]
    for place, result in enumerate(done.values()):
        for time, peak, shift, color in (
            (result.whole_time, result.whole_peak, -0.2, whole),
            (result.time, result.peak, 0.2, tiled),
        ):
            if time and peak:
                left.barh(place + shift, time.value, height=0.36, color=color)
                right.barh(place + shift, peak.value / MIB, height=0.36, color=color)
    for budget in sorted({result.budget.value for result in done.values()}):
        right.axvline(budget / MIB, color="0.2", ls="--", lw=1)
    # Width x height of what an input is restored to at x4, as formats are named.
    sizes = ["{1}x{0}".format(*(4 * side for side in cell.size)) for cell in done]
    labels = [f"{cell.model}\n{size}" for cell, size in zip(done, sizes, strict=True)]
    left.set_yticks(range(len(done)), labels, fontsize=7)
    left.set_ylim(len(done) - 0.5, -0.5)
    left.set_xlabel("time of one run, s")
    right.set_xlabel("growth of the resident set, MiB")
    handles = [
        entry("whole", color=whole, lw=6),
        entry("in tiles within the budget", color=tiled, lw=6),
        entry("budget", color="0.2", ls="--"),
    ]
    add_legend(figure, handles)
    return figure
