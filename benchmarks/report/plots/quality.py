"""The plot of quality tables: PSNR of every method, measured ones beside quoted ones."""

from __future__ import annotations

from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.records.cell import PrintedCell, QualityCell
from benchmarks.records.result import QualityResult, Result
from benchmarks.report.plots.panels import add_legend, empty_figure, entry, make_panels
from benchmarks.report.series import Records
from benchmarks.report.signs import LEVELS, shade
from benchmarks.tasks import get_task

_STYLES: dict[str, dict[str, Any]] = {
    "measured": {"marker": "o", "ms": 4.5},
    "measured on a part of the set": {"marker": "v", "ms": 4.5},
    "quoted": {"marker": "o", "ms": 4.5, "mfc": "none"},
}
_PANELS_PER_ROW = 4


def draw(records: Records) -> Figure:
    """A panel per set with a line per method and a color per level."""
    valued = _list_scores(records)
    panels: dict[tuple[str, str], list[_Score]] = {}
    for score in valued:
        panels.setdefault((score.family, score.dataset), []).append(score)
    count = len(panels)
    if not count:
        return empty_figure()
    methods = list(dict.fromkeys(score.method for score in valued))
    levels = sorted({score.level for score in valued})
    several = len({family for family, _ in panels}) > 1
    columns = min(count, _PANELS_PER_ROW)
    rows = -(-count // columns)
    height = max(3.0, 0.17 * len(methods) + 0.8)
    figure, grid = make_panels(rows, columns, 2.7 * columns + 2.2, height * rows + 0.5)
    axes = list(grid.flat)
    for index, ((family, dataset), scores) in enumerate(panels.items()):
        _draw_methods(axes[index], scores, methods, levels)
        axes[index].set_title(f"{dataset} ({family})" if several and family else dataset)
        axes[index].tick_params(labelleft=index % columns == 0, labelsize=7)
    for axis in axes[count:]:
        axis.set_axis_off()
    if levels:
        handles = [
            entry(level, ls="", marker="s", color=_color_level(level, levels)) for level in levels
        ]
        handles += [
            entry(source, ls="", color="0.3", **_STYLES[source])
            for source in _STYLES
            if any(score.source == source for score in valued)
        ]
        add_legend(figure, handles)
    return figure


class _Score(NamedTuple):
    """The PSNR of a method on a set, and how it is shown."""

    family: str
    level: str
    dataset: str
    method: str
    source: str
    psnr: float


def _list_scores(records: Records) -> list[_Score]:
    scores = []
    for cell, record in records.items():
        psnr = record.result.quantity("psnr")
        if psnr is None or not isinstance(cell, (QualityCell, PrintedCell)):
            continue
        task = get_task(cell.task) if cell.task else None
        # Of tasks that differ in their level, such as denoise-gray of denoise-gray-s25.
        family = task.family if task and task.family != task.name else ""
        level = task.variant if task else str(cell.task)
        method, source = _describe_method(cell), _describe_source(record.result)
        scores.append(_Score(family, level, str(cell.dataset), method, source, psnr.value))
    return scores


def _describe_method(cell: QualityCell | PrintedCell) -> str:
    """The model with its recipe and k, but not with the paper a quoted one stands in."""
    if isinstance(cell, PrintedCell):
        details = cell.variant
    else:
        keys = f"k = {cell.k}" if cell.k else ""
        details = ", ".join(filter(None, (cell.recipe, keys)))
    return f"{cell.model} ({details})" if details else cell.model


def _describe_source(result: Result) -> str:
    if isinstance(result, QualityResult):
        return "measured on a part of the set" if result.partial else "measured"
    return "quoted"


def _color_level(level: str, levels: list[str]) -> str:
    return shade(LEVELS, levels.index(level), len(levels))


def _draw_methods(axis: Axes, scores: list[_Score], methods: list[str], levels: list[str]) -> None:
    """Dots at the PSNR of each method, the first one on top."""
    for score in scores:
        style = {"ls": "", "color": _color_level(score.level, levels), **_STYLES[score.source]}
        axis.plot(score.psnr, methods.index(score.method), **style)
    axis.set_yticks(range(len(methods)), methods)
    axis.set_ylim(len(methods) - 0.5, -0.5)
    axis.set_xlabel("PSNR, dB")
