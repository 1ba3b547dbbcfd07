"""PSNR of held-out images against the learning rate that a network was trained at."""

from __future__ import annotations

from collections import Counter, defaultdict

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.records.cell import TrainingCell
from benchmarks.records.description import Description
from benchmarks.records.result import TrainingResult
from benchmarks.report.plots import panels
from benchmarks.report.series import Records, select
from benchmarks.report.signs import sign_of_model

_COLUMNS = 3

# By task, recipe and length of the training, and by network: rate -> PSNR in dB.
_Lines = dict[str, dict[str, dict[float, float]]]


def draw(records: Records) -> Figure:
    """A panel per task, recipe and length of the training, with a line per network."""
    lines = _collect(records)
    if not lines:
        return panels.empty_figure()
    columns = min(len(lines), _COLUMNS)
    rows = -(-len(lines) // columns)
    figure, grid = panels.make_panels(rows, columns, 3.6 * columns, 3.2 * rows)
    for axis in grid.flat[len(lines) :]:
        axis.set_axis_off()
    for axis, (title, networks) in zip(grid.flat, lines.items(), strict=False):
        tried: set[float] = set()
        drawn: Counter[str] = Counter()
        for model, label in panels.name_apart([*networks]).items():
            psnr, family = networks[model], Description.parse(model).family
            rates = sorted(psnr)
            style = {"color": sign_of_model(model).color, "ls": panels.STYLES[drawn[family]]}
            axis.plot(rates, [psnr[rate] for rate in rates], marker="o", label=label, **style)
            drawn[family] += 1
            tried |= psnr.keys()
        axis.set_title(title, fontsize=8)
        axis.set_xscale("log")
        axis.set_xticks(sorted(tried), [f"{rate:g}" for rate in sorted(tried)])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlabel("peak learning rate")
        axis.legend(fontsize=7)
    for row in grid:
        row[0].set_ylabel("PSNR of held-out images, dB")
    return figure


def _collect(records: Records) -> _Lines:
    lines: _Lines = defaultdict(lambda: defaultdict(dict))
    for cell, result in select(records, TrainingCell, TrainingResult).items():
        recipe = Description.parse(cell.recipe or "")
        fields = recipe.fields
        if result.held_out and "lr" in fields:
            length = f", {fields['steps']} steps" if "steps" in fields else ""
            title = f"{cell.task} by {recipe.name}{length}"
            lines[title][cell.model][fields["lr"]] = result.held_out.value
    return lines
