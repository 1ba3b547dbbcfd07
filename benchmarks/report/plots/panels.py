"""What the panels of all plots share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks.records.description import Description
from benchmarks.records.result import Quantity
from benchmarks.report.signs import ARMS

MIB = 2**20
# The lines of networks of one family.
STYLES = ("-", "--", ":", "-.")


def empty_figure() -> Figure:
    """A picture that says that there is nothing to show."""
    figure = Figure(figsize=(5, 2))
    figure.text(0.5, 0.4, "nothing measured", ha="center")
    return figure


def say_no_values(axis: Axes) -> None:
    """Label a panel without values, which could not be scaled either."""
    axis.set_xticks([])
    axis.text(0.5, 0.5, "no values", ha="center", va="center", transform=axis.transAxes)


def make_panels(
    rows: int, columns: int, width: float, height: float, **shared: Any
) -> tuple[Figure, np.ndarray]:
    """A figure of so many inches and its axes [rows, columns]."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **shared)


def color_arms(names: Iterable[str]) -> dict[str, str]:
    """The color of each arm of a study, in their order; they repeat after the last one."""
    return dict(zip(dict.fromkeys(names), cycle(ARMS), strict=False))


def entry(label: str, **style: Any) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], label=label, **style)


def add_legend(figure: Figure, handles: Sequence[Any], **style: Any) -> None:
    """A legend below the panels, in one row unless `ncols` says otherwise."""
    style = {"ncols": len(handles), **style}
    figure.legend(handles=handles, loc="outside lower center", **style)


def name_apart(models: Sequence[str]) -> dict[str, str]:
    """Labels of models, without the fields that all of them have."""
    described = {model: Description.parse(model) for model in models}
    common = set.intersection(*({*one.given} for one in described.values()))
    return {
        model: str(one._replace(given=tuple(field for field in one.given if field not in common)))
        for model, one in described.items()
    }


def draw_band(
    axis: Axes, places: Sequence[float], seeds: Sequence[Sequence[float]], **style: Any
) -> None:
    """The means over the seeds of each place, in a band from the lowest to the highest one."""
    (line,) = axis.plot(places, [fmean(own) for own in seeds], marker="o", ms=4, **style)
    low, high = ([end(own) for own in seeds] for end in (min, max))
    axis.fill_between(places, low, high, color=line.get_color(), alpha=0.25, lw=0)


def draw_intervals(
    axis: Axes,
    places: Sequence[float],
    quantities: Sequence[Quantity],
    unit: float = 1.0,
    **style: Any,
) -> Any:
    """Values in a unit, with bars to the ends of their intervals."""
    values, reach = values_and_reach(quantities)
    return axis.errorbar(places, values / unit, reach / unit, **{"capsize": 2, **style})


def values_and_reach(metrics: Sequence[Quantity]) -> tuple[np.ndarray, np.ndarray]:
    """Values, and the distances [2, len] to the ends of their intervals."""
    values = np.array([metric.value for metric in metrics])
    ends = np.array([metric.interval for metric in metrics]).reshape(-1, 2).T
    return values, np.abs(ends - values)


def scale_keys(axis: Axes) -> None:
    """A log axis of powers of two with plain numbers: counts, or shares such as 1/4."""
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g}" if value >= 1 else f"1/{1 / value:g}")
    )


def scale_ratios(axis: Axes) -> None:
    """A log axis of ratios with plain numbers and a line where contender and baseline are even."""
    axis.set_yscale("log")
    scale_plainly(axis.yaxis)
    axis.axhline(1.0, color="0.3", lw=1)


def scale_plainly(axis: Axis) -> None:
    """Plain numbers at 1, 2 and 5 of every decade of a log axis."""
    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
