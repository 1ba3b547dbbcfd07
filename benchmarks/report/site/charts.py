"""Charts as Vega-Lite, each with an SVG for readers without scripts.

Channels are named by their classes (`alt.X("k:Q")`), never by a bare string, for each of which
altair hashes all of its schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import altair as alt

from benchmarks.report.site.vega import draw_svg
from benchmarks.report.site.writer import Site

_FONT = "Arial, Liberation Sans, sans-serif"
_STYLE: dict[str, Any] = {
    "background": "transparent",
    # A label on each mark would say the data again; the figure has one for the whole chart.
    "aria": False,
    # Readers' fonts are wider than the one that the place of labels is computed with.
    "padding": {"left": 16, "top": 5, "right": 12, "bottom": 5},
    "font": _FONT,
    "axis": {"labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": 500, "labelLimit": 260},
    "legend": {"labelFontSize": 11, "titleFontSize": 11, "labelLimit": 260},
    "title": {"fontSize": 12, "anchor": "start"},
    "view": {"stroke": None},
}


class Chart(NamedTuple):
    """A chart on a page.

    Attributes:
        name: that of its SVG.
        about: what it shows, for those who do not see it.
        spec: in Vega-Lite.
    """

    name: str
    about: str
    spec: dict[str, Any]


def add_chart(site: Site, name: str, about: str, chart: alt.TopLevelMixin) -> Chart:
    """Add the SVG of a chart to a site; the page gets the chart itself."""
    # Vega-Lite itself is the judge of a chart, a line further; to validate it takes longer.
    spec = chart.configure(**_STYLE).to_dict(validate=False)
    # Names of data sets are digests of their values; those of views count what was drawn before.
    spec = _round(_name_views(spec))
    site.add_beside(f"charts/{name}.svg", draw_svg, json.dumps(spec))
    return Chart(name, about, spec)


def key_axis(keys: Iterable[int], title: str = "k, keys per token") -> alt.X:
    """A log axis of the field k, with a tick at every k that was measured."""
    axis = alt.Axis(values=sorted(set(keys)), labelOverlap=False, labelFlush=False)
    return alt.X("k:Q", scale=alt.Scale(type="log", base=2), axis=axis, title=title)


def rule_at(axis: Literal["x", "y"], value: float) -> alt.Chart:
    """A line across a chart at a value of one axis, where nothing differs."""
    channel = {"x": alt.X, "y": alt.Y}[axis](f"{axis}:Q")
    drawn = alt.Chart(alt.Data(values=[{axis: value}])).mark_rule(color="#444")
    return drawn.encode(**{axis: channel})


def _name_views(spec: Any) -> Any:
    """The same chart with views and parameters that are named by their place in it."""
    text = json.dumps(spec)
    seen: dict[str, str] = {}

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            name = part.get("name")
            if isinstance(name, str) and name.rpartition("_")[2].isdecimal():
                seen.setdefault(name, f"{name.rpartition('_')[0]}_n{len(seen)}")
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(spec)
    for old, new in seen.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    return json.loads(text)


def _round(part: Any) -> Any:
    """Numbers to six digits: more are not seen in a chart, and stand in the record."""
    if isinstance(part, float):
        return float(f"{part:.6g}")
    if isinstance(part, dict):
        return {name: _round(value) for name, value in part.items()}
    return [_round(value) for value in part] if isinstance(part, list) else part
