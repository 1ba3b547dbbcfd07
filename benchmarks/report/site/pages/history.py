"""History: a small line per series and environment, with its steps."""

from __future__ import annotations

import math

from markupsafe import Markup

from benchmarks.records.result import Quantity
from benchmarks.report.site.library import Library
from benchmarks.report.site.pages.records import format_quantity
from benchmarks.report.site.tables import Cell, make_view
from benchmarks.report.site.writer import Site
from benchmarks.report.trends import MIN_SEGMENT, Trend, build_series, judge_series

_WIDTH, _HEIGHT, _PAD = 120, 22, 3
_HEADER = ("series", "metric", "line", "change", "verdict", "points", "newest", "environment")
_REGRESSED = "regressed"


def add(site: Site, library: Library) -> None:
    """Add the page."""
    rows, short = [], 0
    for exhibit in library.exhibits:
        paths = {
            cell.id: library.path_of(record) for cell, record in exhibit.report.records.items()
        }
        for series in build_series(exhibit.store.records):
            if len(series.points) < MIN_SEGMENT:
                short += 1
                continue
            trend = judge_series(series)
            path = paths.get(trend.name, exhibit.records_path)
            rows.append(_describe(trend, path, exhibit.name))
    rows.sort(key=lambda row: str(row[4].order))
    view = make_view(
        "series",
        _HEADER,
        rows,
        ("metric", "verdict", "environment"),
        # Also where nothing did, so that the page shows that.
        offered={"verdict": [_REGRESSED]},
    )
    site.add_page("history.html", "history.html", view=view, short=short, least=MIN_SEGMENT)


def _describe(trend: Trend, path: str, report: str) -> list[Cell]:
    change = math.prod(step.ratio for step in trend.steps)
    verdict = {"STEPS": "faster or less", "STEADY": "steady", "TOO SHORT": "too short"}[
        trend.verdict
    ]
    if trend.steps and change > 1:
        verdict = _REGRESSED
    newest = trend.points[-1]
    order = "0" if verdict == _REGRESSED else f"1{verdict}"
    return [
        Cell(f"{report}: {trend.name}", path, style="pin"),
        Cell(trend.metric),
        Cell(draw_line(trend)),
        Cell(f"{change - 1:+.1%}" if trend.steps else "", path, change),
        Cell(verdict, order=order, style="fails" if verdict == _REGRESSED else ""),
        Cell(str(len(trend.points)), order=float(len(trend.points))),
        Cell(format_quantity(Quantity(value=newest.value, unit=trend.unit)), path, newest.value),
        Cell(trend.environment.key, f"machines.html#{trend.environment.key}"),
    ]


def draw_line(trend: Trend) -> Markup:
    """A line of values over time on a log scale, with a mark at each step to more or to less."""
    values = [math.log(point.value) for point in trend.points]
    low, high = min(values), max(values)
    reach = max(high - low, 0.02)
    across = (_WIDTH - 2 * _PAD) / max(len(values) - 1, 1)
    places = [
        (_PAD + index * across, _HEIGHT - _PAD - (value - low) / reach * (_HEIGHT - 2 * _PAD))
        for index, value in enumerate(values)
    ]
    sides = {step.first: "worse" if step.ratio > 1 else "better" for step in trend.steps}
    marks = Markup("").join(
        Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(sides[point], *place)
        for point, place in zip(trend.points, places, strict=True)
        if point in sides
    )
    said = [f"a step to {'more' if side == 'worse' else 'less'}" for side in sides.values()]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return Markup(
        '<svg class="line" width="{}" height="{}" role="img" aria-label="{}">'
        '<polyline points="{}"/>{}</svg>'
    ).format(_WIDTH, _HEIGHT, ", ".join([f"{len(values)} points", *said]), line, marks)
