"""How graphs age over the layers of a stage, and what sharing one costs, as a forest plot."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.records.cell import TrainingCell
from benchmarks.records.result import TrainingResult
from benchmarks.report.claims.training import list_tested
from benchmarks.report.plots import differences, panels
from benchmarks.report.series import Records, select

_TOP_INCHES = 3.2

# By task and by network: the overlap by depth, of each seed.
_Lines = dict[str, dict[str, list[tuple[float, ...]]]]


def draw(records: Records) -> Figure:
    """On top the overlap with the graph of the stage's input by depth, below the differences."""
    lines, tests = _collect(records), list_tested(records)
    if not lines or not tests:
        return differences.draw_tests(tests)
    height = differences.find_height(tests)
    figure = Figure(figsize=(9.0, _TOP_INCHES + height), layout="constrained")
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(_TOP_INCHES, height)).flat
    axes = top.subplots(1, len(lines), squeeze=False, sharey=True)
    for axis, (task, networks) in zip(axes.flat, lines.items(), strict=True):
        _draw_lines(axis, networks)
        axis.set_title(task)
    axes[0, 0].set_ylabel("share of the stage's graph")
    differences.draw_forest(bottom, tests)
    return figure


def _collect(records: Records) -> _Lines:
    lines: _Lines = defaultdict(lambda: defaultdict(list))
    for cell, result in select(records, TrainingCell, TrainingResult).items():
        if result.overlap:
            lines[str(cell.task)][cell.model].append(result.overlap.samples)
    return lines


def _draw_lines(axis: Axes, networks: dict[str, list[tuple[float, ...]]]) -> None:
    colors = panels.color_arms(networks)
    for model, label in panels.name_apart([*networks]).items():
        by_depth = [*zip(*networks[model], strict=True)]
        depths = range(1, len(by_depth) + 1)
        color = colors[model]
        axis.plot(
            depths, [fmean(own) for own in by_depth], marker="o", ms=4, color=color, label=label
        )
        lows, highs = ([end(own) for own in by_depth] for end in (min, max))
        axis.fill_between(depths, lows, highs, color=color, alpha=0.25, lw=0)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("layer of the stage; bands over the seeds")
    axis.legend(fontsize=7)
