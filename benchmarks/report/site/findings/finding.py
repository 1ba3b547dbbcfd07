"""A finding, and what its rules share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt

from benchmarks.records.record import PORTABLE, Record
from benchmarks.report import signs
from benchmarks.report.claims.training import Tested
from benchmarks.report.judgment import VerdictLabel
from benchmarks.report.site.charts import rule_at
from benchmarks.report.site.library import Claim
from benchmarks.report.site.scoreboard import ends_of

MOST_WORDS = 25
# Differences have one scale on all charts; what lies beyond it ends in an arrow at its border.
_SCALE_DB = (-1.5, 1.0)


@dataclass(frozen=True)
class Number:
    """A number with its interval, what it is of, and the records behind it."""

    text: str
    interval: str
    label: str
    records: tuple[Record, ...]

    @property
    def machines(self) -> str:
        """Where it was measured, empty of what does not depend on it."""
        timed = [record for record in self.records if record.cell.kind not in PORTABLE]
        names = [record.environment.place for record in timed if record.environment]
        return " and ".join(dict.fromkeys(names))


@dataclass(frozen=True)
class Finding:
    """A sentence that records decide.

    Attributes:
        key: names its page.
        question: its heading.
        sentence: what was found, of at most `MOST_WORDS` words.
        verdict: on what the papers claim, or would like to.
        why: what decides the verdict, or is missing.
        numbers: one or two, with their records.
        chart: a small one, None where there is nothing to draw.
        about: what the chart shows.
        claims: the judged claims that it rests on.
    """

    key: str
    question: str
    sentence: str
    verdict: VerdictLabel
    why: str
    numbers: tuple[Number, ...]
    chart: alt.TopLevelMixin | None
    about: str
    claims: tuple[Claim, ...] = field(default=())

    @property
    def path(self) -> str:
        """The page with its evidence."""
        return f"finding/{self.key}.html"

    @property
    def machines(self) -> str:
        """Where its numbers were measured, empty where they depend on no machine."""
        named = (number.machines for number in self.numbers if number.machines)
        return " and ".join(dict.fromkeys(named))


def format_db(value: float, digits: int = 2) -> str:
    """A difference in dB with its sign; what rounds to nothing is +0."""
    return f"{round(value, digits) + 0.0:+.{digits}f} dB".replace("-", "\N{MINUS SIGN}")


def format_ends(ends: tuple[float, float] | None, digits: int = 2) -> str:
    """The ends of a 99 % interval of a difference."""
    if ends is None:
        return "no interval"
    low, high = (f"{round(end, digits) + 0.0:+.{digits}f}" for end in ends)
    return f"{low} to {high}".replace("-", "\N{MINUS SIGN}")


def describe_ends(tested: Tested) -> str:
    """The interval of a difference, and what it is over."""
    over = "over seeds and images" if tested.found.gain.lo is not None else "over images alone"
    return f"{format_ends(ends_of(tested))} (99 %, {over})"


def draw_differences(rows: Sequence[tuple[str, Tested]], width: int = 150) -> alt.TopLevelMixin:
    """Differences in dB with their intervals, in the color of the side they are on."""
    values = []
    least, most = _SCALE_DB
    for name, tested in rows:
        low, high = ends_of(tested) or (tested.found.gain.mean,) * 2
        mean = tested.found.gain.mean
        side = "for us" if mean > 0 else "against us"
        row = {"what": name, "dB": mean, "low": max(low, least), "high": min(high, most)}
        values.append({**row, "side": side, "left": low < least, "right": high > most})
    base = alt.Chart(alt.Data(values=values)).encode(
        y=alt.Y("what:N", sort=None, title=None),
        color=alt.Color(
            "side:N",
            legend=None,
            scale=alt.Scale(domain=["for us", "against us"], range=[signs.FOR, signs.AGAINST]),
        ),
    )
    scale = alt.Scale(domain=[least, most], clamp=True)
    bars = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title="difference, dB", scale=scale), x2=alt.X2("high:Q")
    )
    arrows = [
        base.transform_filter(f"datum.{side}")
        .mark_point(shape=f"triangle-{side}", size=30, filled=True, opacity=1)
        .encode(x=alt.X(f"{end}:Q"))
        for side, end in (("left", "low"), ("right", "high"))
    ]
    tooltip: list[Any] = [alt.Tooltip("what:N"), alt.Tooltip("dB:Q", format="+.3f")]
    dots = base.mark_circle(size=40, opacity=1).encode(x=alt.X("dB:Q"), tooltip=tooltip)
    zero = rule_at("x", 0)
    return alt.layer(zero, bars, *arrows, dots).properties(width=width, height=alt.Step(13))
