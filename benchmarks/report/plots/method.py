"""PSNR against the keys used, with bands over seeds, and the differences that claims rest on."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from benchmarks.report.claims.training import list_tested
from benchmarks.report.comparisons import keys_of, list_arms
from benchmarks.report.plots import differences, panels
from benchmarks.report.series import Records
from benchmarks.report.signs import color_apart, sign_of_model

_TOP_INCHES = 3.4

# By task and set, by model and recipe: k -> PSNR in dB of each seed.
_Lines = dict[str, dict[str, dict[int, list[float]]]]


def draw(records: Records) -> Figure:
    """On top a panel per task and set of several k, below them a forest plot."""
    lines, tests = _collect(records), list_tested(records)
    if not lines or not tests:
        return differences.draw(records)
    return differences.draw_below(partial(_draw_panels, lines), _TOP_INCHES, tests)


def _draw_panels(lines: _Lines, top: SubFigure) -> None:
    axes = top.subplots(1, len(lines), squeeze=False)
    for axis, (where, methods) in zip(axes.flat, lines.items(), strict=True):
        _draw_lines(axis, methods)
        axis.set_title(where)


def _collect(records: Records) -> _Lines:
    """Lines of two k or more."""
    lines: _Lines = defaultdict(lambda: defaultdict(dict))
    for arm, trainings in list_arms(records).items():
        keys = keys_of(arm)
        scores = [result.scores["psnr"].value for result in trainings.values()]
        if keys and arm.recipe:
            lines[f"{arm.task} on {arm.dataset}"][f"{arm.model}, {arm.recipe}"][keys] = scores
    several = {
        where: {name: line for name, line in methods.items() if len(line) > 1}
        for where, methods in lines.items()
    }
    return {where: methods for where, methods in several.items() if methods}


def _draw_lines(axis: Axes, methods: dict[str, dict[int, list[float]]]) -> None:
    colors = color_apart(methods, sign_of_model)
    for name, line in methods.items():
        keys = sorted(line)
        count = min(len(line[k]) for k in keys)
        label = f"{name} ({count} seed{'s' if count > 1 else ''})"
        panels.draw_band(axis, keys, [line[k] for k in keys], color=colors[name], label=label)
    panels.scale_keys(axis)
    axis.set_xlabel("k, keys per token in use; bands from the lowest to the highest seed")
    axis.set_ylabel("PSNR, dB")
    axis.legend(fontsize=7)
