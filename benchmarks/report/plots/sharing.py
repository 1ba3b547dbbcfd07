"""How graphs age over the layers of a stage, and what sharing one costs, as a forest plot."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

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
    return differences.draw_below(partial(_draw_panels, lines), _TOP_INCHES, tests)


def _draw_panels(lines: _Lines, top: SubFigure) -> None:
    axes = top.subplots(1, len(lines), squeeze=False, sharey=True)
    for axis, (task, networks) in zip(axes.flat, lines.items(), strict=True):
        _draw_lines(axis, networks)
        axis.set_title(task)
    axes[0, 0].set_ylabel("share of the stage's graph")


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
        panels.draw_band(axis, depths, by_depth, color=colors[model], label=label)
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("layer of the stage; bands over the seeds")
    axis.legend(fontsize=7)
