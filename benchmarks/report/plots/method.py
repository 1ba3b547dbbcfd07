"""PSNR against the keys used, with bands over seeds, and the differences that claims rest on."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report.claims.training import list_tested
from benchmarks.report.comparisons import keys_of, list_arms
from benchmarks.report.plots import differences, panels
from benchmarks.report.series import Records

_TOP_INCHES = 3.4

# By task and set, by model and recipe: k -> PSNR in dB of each seed.
_Lines = dict[str, dict[str, dict[int, list[float]]]]


def draw(records: Records) -> Figure:
    """On top a panel per task and set of several k, below them a forest plot."""
    lines, tests = _collect(records), list_tested(records)
    if not lines or not tests:
        return differences.draw(records)
    height = differences.find_height(tests)
    figure = Figure(figsize=(9.0, _TOP_INCHES + height), layout="constrained")
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=(_TOP_INCHES, height)).flat
    axes = top.subplots(1, len(lines), squeeze=False)
    for axis, (where, methods) in zip(axes.flat, lines.items(), strict=True):
        _draw_lines(axis, methods)
        axis.set_title(where)
    differences.draw_forest(bottom, tests)
    return figure


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
    colors = panels.color_models(methods)
    for name, line in methods.items():
        color, keys = colors[name], sorted(line)
        seeds = {len(line[k]) for k in keys}
        label = f"{name} ({min(seeds)} seed{'s' if min(seeds) > 1 else ''})"
        axis.plot(keys, [fmean(line[k]) for k in keys], marker="o", ms=4, color=color, label=label)
        lows, highs = ([end(line[k]) for k in keys] for end in (min, max))
        axis.fill_between(keys, lows, highs, color=color, alpha=0.25, lw=0)
    panels.scale_keys(axis)
    axis.set_xlabel("k, keys per token in use; bands from the lowest to the highest seed")
    axis.set_ylabel("PSNR, dB")
    axis.legend(fontsize=7)
