"""PSNR against the keys in use, by what a network was trained with; bands over seeds."""

from __future__ import annotations

from collections import defaultdict

from matplotlib.figure import Figure

from benchmarks.report.comparisons import keys_of, list_arms
from benchmarks.report.plots import panels
from benchmarks.report.series import Records

_COLUMNS = 3

# By task and set, and by recipe: k in use -> PSNR in dB of each seed.
_Lines = dict[str, dict[str, dict[int, list[float]]]]


def draw(records: Records) -> Figure:
    """A panel per task and set on which recipes compare; the claims are too many for a forest."""
    lines = _collect(records)
    if not lines:
        return panels.empty_figure()
    rows = -(-len(lines) // _COLUMNS)
    figure, grid = panels.make_panels(rows, _COLUMNS, 3.2 * _COLUMNS, 2.6 * rows + 0.8)
    axes = [*grid.flat]
    recipes = [*dict.fromkeys(recipe for own in lines.values() for recipe in own)]
    # The first colors are those of the families of networks.
    colors = panels.color_arms(recipes)
    for axis, (where, own) in zip(axes, lines.items(), strict=False):
        for recipe, line in own.items():
            keys = sorted(line)
            panels.draw_band(axis, keys, [line[k] for k in keys], color=colors[recipe])
        axis.set_title(where, fontsize=8)
        panels.scale_keys(axis)
    for axis in axes[len(lines) :]:
        axis.set_axis_off()
    for row in grid:
        row[0].set_ylabel("PSNR, dB")
    for axis in axes[max(0, len(lines) - _COLUMNS) : len(lines)]:
        axis.set_xlabel("k in use; bands over the seeds")
    labels = panels.name_apart(recipes)
    handles = [panels.entry(labels[name], color=color) for name, color in colors.items()]
    panels.add_legend(figure, handles, ncols=_COLUMNS, fontsize=8)
    return figure


def _collect(records: Records) -> _Lines:
    """Of networks whose recipes differ, used with two k or more."""
    lines: _Lines = defaultdict(lambda: defaultdict(dict))
    for arm, trainings in list_arms(records).items():
        if arm.recipe and (keys := keys_of(arm)):
            scores = [result.scores["psnr"].value for result in trainings.values()]
            lines[f"{arm.task} on {arm.dataset}"][arm.recipe][keys] = scores
    several = {
        where: {recipe: line for recipe, line in own.items() if len(line) > 1}
        for where, own in lines.items()
    }
    return {where: own for where, own in several.items() if len(own) > 1}
