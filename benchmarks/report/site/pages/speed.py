"""Attention: every measured time with its selectors, and a map of which backend is fastest."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import altair as alt

from benchmarks.measure.closed_form import DENSE
from benchmarks.records.cell import AttentionCell
from benchmarks.records.result import AttentionLatency
from benchmarks.records.statistics import FLOOR_FACTOR, MIN_PAIRS, NOISY, THRESHOLD, Ratio
from benchmarks.report import signs
from benchmarks.report.series import select
from benchmarks.report.site.charts import Chart, add_chart
from benchmarks.report.site.findings.speed import describe_ratio
from benchmarks.report.site.library import Exhibit, Library
from benchmarks.report.site.tables import Cell, make_view
from benchmarks.report.site.writer import Site

_HEADER = (
    *("backend", "N", "k", "device", "dtype", "bias", "direction", "graph", "threads"),
    *("baseline", "time / baseline", "interval", "noise floor", "verdict", "median ms"),
)
_OPEN = "no clear winner"
_SELECTED = (*_HEADER[:10], "verdict")


def add(site: Site, library: Library) -> None:
    """Add the page."""
    rows, charts = [], []
    for exhibit in library.exhibits:
        timed = select(exhibit.records, AttentionCell, AttentionLatency)
        if exhibit.profile_name == "smoke" or not timed:
            continue
        rows += [_describe(library, exhibit, cell, result) for cell, result in timed.items()]
        if chart := _draw_map(site, exhibit, timed):
            charts.append(chart)
    view = make_view("times", _HEADER, rows, _SELECTED)
    site.add_page("speed.html", "speed.html", view=view, charts=charts)


def _describe(
    library: Library, exhibit: Exhibit, cell: AttentionCell, result: AttentionLatency
) -> list[Cell]:
    path = library.path_of(exhibit.records[cell])
    ratio, floor = result.ratio.value, result.floor.value
    return [
        Cell(cell.contender, path, style="pin"),
        Cell(str(cell.n), order=float(cell.n)),
        Cell(str(cell.k), order=float(cell.k)),
        Cell("GPU" if cell.device else "CPU"),
        Cell(cell.dtype),
        Cell("bias" if cell.bias else "no bias"),
        Cell(cell.mode),
        Cell(cell.graph),
        Cell(str(cell.threads or exhibit.environment.threads)),
        Cell(cell.baseline or ""),
        Cell(f"{ratio:.3f}", path, ratio),
        Cell(describe_ratio(result), path),
        Cell(f"{floor:.1%}", path, floor),
        Cell(result.judged, style=f"verdict-{result.judged.lower()}"),
        Cell(f"{result.latency.value:,.3f}", path, result.latency.value),
    ]


class Beside(NamedTuple):
    """A backend's time over the baseline's, and the noise floor of its run."""

    ratio: Ratio
    floor: float


# The baseline beside itself: with it, a comparison is the verdict of the other's record.
_EVEN = Beside(Ratio(1.0, 1.0, 1.0, MIN_PAIRS), 0.0)


def find_ratios(
    timed: dict[AttentionCell, AttentionLatency],
) -> dict[tuple[int, int], dict[str, Beside]]:
    """By N and k: the time of every backend beside that of the baseline, which takes part."""
    places: dict[tuple[int, int], dict[str, Beside]] = defaultdict(dict)
    for cell, result in timed.items():
        alike = cell.mode == "forward" and not cell.bias and cell.graph == "photo"
        if alike and not result.clamped and cell.backend != "auto":
            place = places[cell.n, cell.k]
            ratio = Ratio(result.ratio.value, *result.ratio.interval, result.rounds)
            place[cell.contender] = Beside(ratio, result.floor.value)
            place.setdefault(result.baseline, _EVEN)
    # Its time does not depend on k, nor does that of the baselines, so it is timed at few k.
    dense = {place: ratios[DENSE] for place, ratios in places.items() if DENSE in ratios}
    for (n, k), ratios in places.items():
        known = [(abs(other - k), ratio) for (size, other), ratio in dense.items() if size == n]
        if known:
            ratios.setdefault(DENSE, min(known)[1])
    return places


def is_ahead(first: Beside, second: Beside) -> bool:
    """Whether a backend is faster than another beyond both intervals and the larger noise floor.

    By the rules of verdicts, but that one who is timed in too much noise for a verdict cannot win
    and can lose.
    """
    noise = max(first.floor, second.floor)
    band = 1 + max(THRESHOLD, FLOOR_FACTOR * noise)
    judged = min(first.ratio.pairs, second.ratio.pairs) >= MIN_PAIRS and first.floor <= NOISY
    return judged and first.ratio.hi * band < second.ratio.lo


def _draw_map(
    site: Site, exhibit: Exhibit, timed: dict[AttentionCell, AttentionLatency]
) -> Chart | None:
    """Which backend takes least time at each N and k, of those with one baseline."""
    values: list[dict[str, Any]] = []
    for (n, k), ratios in find_ratios(timed).items():
        if len(ratios) > 1:
            least, second, *_ = sorted(ratios, key=lambda name: (ratios[name].ratio.value, name))
            lead = ratios[second].ratio.value / ratios[least].ratio.value
            fastest = least if is_ahead(ratios[least], ratios[second]) else _OPEN
            values.append(
                {"N": n, "k": k, "fastest": fastest, "least": least, "second": second}
                | {"lead": lead, "text": f"{lead:.2f}"}
            )
    if len({row["k"] for row in values}) < 2:
        return None
    found = {row["fastest"] for row in values}
    colors = signs.color_apart(sorted(found - {_OPEN}), signs.sign_of_backend)
    if _OPEN in found:
        colors[_OPEN] = signs.OPEN
    for row in values:
        row["ink"] = signs.ink_on(colors[row["fastest"]])
    scale = alt.Scale(domain=[*colors], range=[*colors.values()])
    base = alt.Chart(alt.Data(values=values)).encode(
        x=alt.X("k:O", title="k, keys per token", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("N:O", sort="descending", title="N, tokens"),
    )
    squares = base.mark_rect(stroke="white").encode(
        # Beside a wide map there is no room for it.
        color=alt.Color("fastest:N", scale=scale, legend=alt.Legend(orient="top")),
        tooltip=[
            alt.Tooltip("N:O"),
            alt.Tooltip("k:O"),
            alt.Tooltip("fastest:N"),
            alt.Tooltip("least:N", title="least time"),
            alt.Tooltip("second:N"),
            alt.Tooltip("lead:Q", format=".2f"),
        ],
    )
    texts = base.mark_text(fontSize=11).encode(
        text=alt.Text("text:N"), color=alt.Color("ink:N", scale=None)
    )
    chart = alt.layer(squares, texts).resolve_scale(color="independent")
    about = (
        f"{exhibit.title} ({exhibit.profile_name}): the fastest backend at every N and k, and how "
        "many times as long the second one takes."
    )
    if _OPEN in found:
        about += f" Gray: {_OPEN}, where intervals and noise floors leave it open."
    sized = chart.properties(width=alt.Step(52), height=alt.Step(34))
    return add_chart(site, f"map-{exhibit.name}", about, sized)
