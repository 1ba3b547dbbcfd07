"""The differences that claims on trained networks rest on, as a forest plot."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from benchmarks.quality.seeds import SeededGain
from benchmarks.report.claims.training import Tested, list_tested
from benchmarks.report.plots import panels
from benchmarks.report.series import Records
from benchmarks.report.signs import VERDICTS

_SEEDED: dict[str, Any] = {"lw": 1.6, "ls": "-"}
_OVER_IMAGES: dict[str, Any] = {"lw": 0.8, "ls": ":"}
_WIDTH, _TEXT_WIDTH, _LINE_INCHES, _PANEL_INCHES = 9.0, 66, 0.17, 0.6

# The text of a row and, unless it is a heading, what it shows.
_Rows = list[tuple[str, Tested | None]]


def draw(records: Records) -> Figure:
    """Every difference with its intervals, in the color of the verdict."""
    return draw_tests(list_tested(records))


def draw_tests(tests: list[Tested]) -> Figure:
    """A forest plot as a picture of its own."""
    if not tests:
        return panels.empty_figure()
    figure = Figure(figsize=(_WIDTH, _find_height(tests)), layout="constrained")
    _draw_forest(figure, tests)
    return figure


def draw_below(draw_top: Callable[[SubFigure], None], inches: float, tests: list[Tested]) -> Figure:
    """A forest plot below what a function draws, so many inches high."""
    heights = inches, _find_height(tests)
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=heights).flat
    draw_top(top)
    _draw_forest(bottom, tests)
    return figure


def _find_height(tests: list[Tested]) -> float:
    """Inches that a forest plot takes."""
    blocks = _split(tests)
    return sum(map(_count_lines, blocks)) * _LINE_INCHES + len(blocks) * _PANEL_INCHES + 0.6


def _draw_forest(figure: Figure | SubFigure, tests: list[Tested]) -> None:
    """A panel per claim, each on one scale in dB, and a legend."""
    blocks = _split(tests)
    heights = [_count_lines(rows) * _LINE_INCHES + _PANEL_INCHES for rows in blocks]
    ratios = {"height_ratios": heights}
    axes = figure.subplots(len(blocks), 1, squeeze=False, gridspec_kw=ratios)
    for axis, rows in zip(axes.flat, blocks, strict=True):
        _draw_rows(axis, rows)
    axes[-1, 0].set_xlabel("difference in PSNR, dB, with its 99 % interval")
    figure.legend(handles=_legend(tests), loc="outside lower center", ncols=5, fontsize=7)


def _split(tests: list[Tested]) -> list[_Rows]:
    """Rows by claim: a sentence above its tasks and sets, or beside its only one."""
    blocks = []
    for _, claim in groupby(tests, lambda t: t.claim.partition(" ")[0]):
        rows: _Rows = []
        for sentence, group in groupby(claim, lambda t: t.claim.rpartition(": ")[0]):
            own = list(group)
            if len(own) == 1:
                rows.append((textwrap.fill(own[0].claim, _TEXT_WIDTH), own[0]))
                continue
            rows.append((textwrap.fill(sentence, _TEXT_WIDTH), None))
            rows += [(t.claim.rpartition(": ")[2], t) for t in own]
        blocks.append(rows)
    return blocks


def _count_lines(rows: _Rows) -> int:
    return sum(text.count("\n") + 1 for text, _ in rows)


def _draw_rows(axis: Axes, rows: _Rows) -> None:
    end, places = 0, []
    for text, tested in rows:
        height = text.count("\n") + 1
        places.append(end + (height - 1) / 2)
        end += height
        if tested:
            _draw_gain(axis, places[-1], tested.found.gain, VERDICTS[tested.verdict])
    axis.axvline(0, color="0.3", lw=1)
    axis.set_yticks(places, [text for text, _ in rows], fontsize=7)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=7)
    axis.set_ylim(end - 0.4, -0.6)
    axis.grid(visible=False, axis="y")


def _draw_gain(axis: Axes, place: float, gain: SeededGain, color: str) -> None:
    """The mean and the widest interval that there is, and both in figures."""
    ends, style, filled = gain.over_images, _OVER_IMAGES, "white"
    if gain.lo is not None and gain.hi is not None:
        ends, style, filled = (gain.lo, gain.hi), _SEEDED, color
    text = f"{gain.mean:+.3f}"
    if ends is not None:
        axis.plot(ends, [place, place], color=color, marker="|", ms=4, **style)
        text += f" [{ends[0]:+.3f}, {ends[1]:+.3f}]"
    axis.plot(gain.mean, place, marker="o", ms=4, ls="", color=color, mfc=filled)
    axis.text(1.01, place, text, transform=axis.get_yaxis_transform(), fontsize=7, va="center")


def _legend(tests: list[Tested]) -> list[Any]:
    shown = {tested.verdict for tested in tests}
    seeded = {tested.found.gain.lo is not None for tested in tests}
    handles = [
        panels.entry(verdict, color=color, marker="o", ls="", ms=4)
        for verdict, color in VERDICTS.items()
        if verdict in shown
    ]
    if True in seeded:
        handles.append(panels.entry("over seeds and images", color="0.2", **_SEEDED))
    if False in seeded:
        handles.append(
            panels.entry("over images alone: too few seeds", color="0.2", **_OVER_IMAGES)
        )
    return handles
