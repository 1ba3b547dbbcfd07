"""What each selection gains on twin patches against the distance, beside what can be had."""

from __future__ import annotations

from collections import defaultdict

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.data.twins import Layout
from benchmarks.report.claims.distance import Found, list_found
from benchmarks.report.plots import panels
from benchmarks.report.series import Records
from benchmarks.tasks.twins import find_gain

# By the distance.
_Line = dict[int, Found]


def draw(records: Records) -> Figure:
    """A row of panels per window, a column per number of distractors; bands over the seeds."""
    lines: dict[tuple[int, int], dict[str, _Line]] = defaultdict(lambda: defaultdict(dict))
    for found in list_found(records):
        line = lines[found.window, found.layout.distractors][found.keys]
        line[found.layout.distance] = found
    if not lines:
        return panels.empty_figure()
    windows, counts = (sorted({key[part] for key in lines}) for part in (0, 1))
    windows.reverse()
    shape = len(windows), len(counts)
    figure, grid = panels.make_panels(*shape, 3.0 * shape[1], 2.4 * shape[0] + 0.8, sharey=True)
    names = list(dict.fromkeys(name for own in lines.values() for name in own))
    # The first colors are those of the families of networks.
    colors = panels.color_arms(names)
    for row, window in zip(grid, windows, strict=True):
        for axis, distractors in zip(row, counts, strict=True):
            _draw_panel(axis, lines[window, distractors], colors)
            axis.set_title(f"{distractors} distractors, windows of {window}x{window}", fontsize=8)
        row[0].set_ylabel("gain in PSNR, dB")
    for axis in grid[-1]:
        axis.set_xlabel("pixels to the twin; bands over the seeds")
    handles = [panels.entry(name, color=color, marker="o", ms=4) for name, color in colors.items()]
    handles += [panels.entry("optimum", color="0.2", ls="--")]
    handles += [panels.entry("optimum without the twin", color="0.2", ls=":")]
    panels.add_legend(figure, handles, fontsize=8)
    return figure


def _draw_panel(axis: Axes, lines: dict[str, _Line], colors: dict[str, str]) -> None:
    for name, line in lines.items():
        places = sorted(line)
        seeds = [
            [result.gain.value for result in line[place].trainings.values() if result.gain]
            for place in places
        ]
        panels.draw_band(axis, places, seeds, color=colors[name])
    layouts: list[Layout] = sorted(
        {found.layout for line in lines.values() for found in line.values()}
    )
    for known, style in ((True, "--"), (False, ":")):
        best = [find_gain(layout, with_twin=known) for layout in layouts]
        axis.plot([layout.distance for layout in layouts], best, color="0.2", ls=style, lw=1)
    axis.set_xticks([layout.distance for layout in layouts])
