"""PSNR of held-out images against the learning rate that a network was trained at."""

from __future__ import annotations

from collections import defaultdict

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.records.cell import TrainingCell
from benchmarks.records.description import Description
from benchmarks.records.result import TrainingResult
from benchmarks.report.plots import panels
from benchmarks.report.series import Records, select

# By task and length of the training, and by network: rate -> PSNR in dB.
_Lines = dict[str, dict[str, dict[float, float]]]


def draw(records: Records) -> Figure:
    """A panel per task and length of the training, with a line per network."""
    lines = _collect(records)
    if not lines:
        return panels.empty_figure()
    figure, grid = panels.make_panels(1, len(lines), 3.6 * len(lines), 3.2)
    for axis, (title, networks) in zip(grid.flat, lines.items(), strict=True):
        tried: set[float] = set()
        for model, psnr in networks.items():
            rates = sorted(psnr)
            color = panels.FAMILIES[Description.parse(model).family]
            axis.plot(rates, [psnr[rate] for rate in rates], marker="o", label=model, color=color)
            tried |= psnr.keys()
        axis.set_title(title)
        axis.set_xscale("log")
        axis.set_xticks(sorted(tried), [f"{rate:g}" for rate in sorted(tried)])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlabel("peak learning rate")
        axis.legend()
    grid[0, 0].set_ylabel("PSNR of held-out images, dB")
    return figure


def _collect(records: Records) -> _Lines:
    lines: _Lines = defaultdict(lambda: defaultdict(dict))
    for cell, result in select(records, TrainingCell, TrainingResult).items():
        fields = Description.parse(cell.recipe or "").fields
        if result.held_out and "lr" in fields:
            length = f"{fields['steps']} steps" if "steps" in fields else "the whole recipe"
            lines[f"{cell.task}, {length}"][cell.model][fields["lr"]] = result.held_out.value
    return lines
