"""The plot of quality tables: PSNR of every method, measured ones beside printed ones."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.plan.specs import describe_level
from benchmarks.records.cell import Cell
from benchmarks.records.record import Record
from benchmarks.report.panels import empty_figure
from benchmarks.report.series import Records
from benchmarks.tasks import get_task

_STYLES: dict[str, dict[str, Any]] = {
    "measured": {"marker": "o", "ms": 4.5},
    "measured on a part of the set": {"marker": "v", "ms": 4.5},
    "printed": {"marker": "o", "ms": 4.5, "mfc": "none"},
}
_PANELS_PER_ROW = 4


def draw_quality(records: Records) -> Figure:
    """A panel per set with a line per method and a color per level, and losses of trainings."""
    valued = {cell: record for cell, record in records.items() if "psnr" in record.metrics}
    losses = {
        str(cell.model): record
        for cell, record in records.items()
        if cell.kind == "training" and "loss" in record.metrics
    }
    panels: dict[tuple[str, str], list[Cell]] = {}
    for cell in valued:
        panels.setdefault((_family(cell), str(cell.dataset)), []).append(cell)
    count = len(panels) + bool(losses)
    if not count:
        return empty_figure()
    methods = list(dict.fromkeys(map(_describe_method, valued)))
    levels = sorted({describe_level(str(cell.task)) for cell in valued})
    several = len({family for family, _ in panels}) > 1
    columns = min(count, _PANELS_PER_ROW)
    height = max(3.0, 0.17 * len(methods) + 0.8)
    size = (2.7 * columns + 2.2, height * -(-count // columns) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(-(-count // columns), columns, squeeze=False).flat)
    for index, ((family, dataset), cells) in enumerate(panels.items()):
        _draw_methods(axes[index], {cell: valued[cell] for cell in cells}, methods, levels)
        axes[index].set_title(f"{dataset} ({family})" if several and family else dataset)
        axes[index].tick_params(labelleft=index % columns == 0, labelsize=7)
    if losses:
        _draw_losses(axes[len(panels)], losses)
    for axis in axes[count:]:
        axis.set_axis_off()
    if levels:
        handles = [
            Line2D([], [], ls="", marker="s", color=f"C{index}", label=level)
            for index, level in enumerate(levels)
        ]
        handles += [
            Line2D([], [], ls="", color="0.3", label=source, **_STYLES[source])
            for source in _STYLES
            if source in map(_describe_source, valued.values())
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _family(cell: Cell) -> str:
    """The tasks that differ in their level alone: denoise-gray of denoise-gray-s25."""
    task = get_task(str(cell.task))
    return task.family if task.family != task.name else ""


def _describe_method(cell: Cell) -> str:
    """The model with its recipe and k, but not with the paper a printed one stands in."""
    recipe = cell.recipe or ""
    variant = recipe.partition(", ")[2] if recipe.startswith("as printed") else recipe
    keys = f"k = {cell.k}" if cell.k else ""
    details = ", ".join(filter(None, (variant, keys)))
    return f"{cell.model} ({details})" if details else str(cell.model)


def _describe_source(record: Record) -> str:
    if record.source == "paper":
        return "printed"
    return "measured on a part of the set" if "partial" in record.checks else "measured"


def _draw_methods(axis: Axes, records: Records, methods: list[str], levels: list[str]) -> None:
    """Dots at the PSNR of each method, the first one on top."""
    for cell, record in records.items():
        axis.plot(
            record.metrics["psnr"].value,
            methods.index(_describe_method(cell)),
            ls="",
            color=f"C{levels.index(describe_level(str(cell.task)))}",
            **_STYLES[_describe_source(record)],
        )
    axis.set_yticks(range(len(methods)), methods)
    axis.set_ylim(len(methods) - 0.5, -0.5)
    axis.set_xlabel("PSNR, dB")


def _draw_losses(axis: Axes, losses: dict[str, Record]) -> None:
    for model, record in losses.items():
        curve = record.metrics["loss"].samples
        every = record.checks["loss_every"]
        axis.plot([every * (index + 1) for index in range(len(curve))], curve, label=model)
    axis.set_title("training")
    axis.set_xlabel("step")
    axis.set_ylabel("L1 loss")
    axis.set_yscale("log")
    axis.legend(fontsize=7)
