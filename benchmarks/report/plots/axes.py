"""Time over the baseline's along one axis at a time around a common problem."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.measure.closed_form import DENSE
from benchmarks.report.plots import panels
from benchmarks.report.series import Records, Sweep, axis_sweeps
from benchmarks.report.signs import sign_of_backend

_AXIS_LABELS = {
    "head_dim": "head dimension D",
    "heads": "heads H",
    "dtype": "element type",
    "threads": "threads",
    "bias": "position bias",
    "mode": "passes",
    "graph": "graph",
}


def draw(records: Records) -> Figure:
    """Time over the baseline's along each axis around the common problem, one panel per axis."""
    sweeps = axis_sweeps(records)
    if not sweeps:
        return panels.empty_figure()
    rows = -(-len(sweeps) // 4)
    columns = -(-len(sweeps) // rows)
    figure, axes = panels.make_panels(
        rows, columns, max(2.6 * columns, 5), 2.7 * rows + 0.6, sharey=True
    )
    pairs = sorted(
        {pair for sweep in sweeps.values() for found in sweep.values() for pair in found}
    )
    for axis, (name, sweep) in zip(axes.flat, sweeps.items(), strict=False):
        _draw_sweep(axis, sweep, pairs)
        axis.set_xlabel(_AXIS_LABELS[name])
    for axis in axes.flat[len(sweeps) :]:
        axis.set_axis_off()
    for row in axes:
        row[0].set_ylabel("time / baseline (99 % interval)")
    handles = [
        panels.entry(f"{contender} / {baseline}", ls="", ms=4, **_style(contender, baseline))
        for contender, baseline in pairs
    ]
    panels.add_legend(figure, handles)
    return figure


def _draw_sweep(axis: Axes, sweep: Sweep, pairs: list[tuple[str, str]]) -> None:
    """Dots with intervals side by side at every value of an axis."""
    if not any(sweep.values()):
        panels.say_no_values(axis)
        return
    for index, pair in enumerate(pairs):
        shift = 0.16 * (index - (len(pairs) - 1) / 2)
        places = [place + shift for place, found in enumerate(sweep.values()) if pair in found]
        ratios = [found[pair] for found in sweep.values() if pair in found]
        panels.draw_intervals(axis, places, ratios, ls="", ms=4, capsize=3, **_style(*pair))
    panels.scale_ratios(axis)
    axis.set_xticks(range(len(sweep)), [_describe_value(value) for value in sweep])
    axis.set_xlim(-0.6, len(sweep) - 0.4)
    axis.grid(visible=False, axis="x")


def _style(contender: str, baseline: str) -> dict[str, Any]:
    """The contender's sign; hollow beside another baseline than dense attention."""
    color, marker, _ = sign_of_backend(contender)
    return {"color": color, "marker": marker, "mfc": color if baseline == DENSE else "white"}


def _describe_value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return {"backward": "forward +\nbackward"}.get(str(value), str(value))
