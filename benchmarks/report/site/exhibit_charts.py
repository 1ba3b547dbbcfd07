"""The chart of a table or study, chosen by what its records are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from statistics import mode
from typing import Any

import altair as alt

from benchmarks.records.cell import (
    AttentionCell,
    NetworkCell,
    PrintedCell,
    QualityCell,
    RestorationCell,
    TrainingCell,
)
from benchmarks.records.description import Description
from benchmarks.records.environment import describe_threads
from benchmarks.records.result import (
    AttentionLatency,
    LatencyResult,
    NetworkLatency,
    PrintedResult,
    QualityResult,
    RestorationResult,
    TrainingResult,
)
from benchmarks.records.statistics import MIN_PAIRS
from benchmarks.report import signs
from benchmarks.report.claims.training import list_tested
from benchmarks.report.series import axis_sweeps, select
from benchmarks.report.site.charts import key_axis, rule_at
from benchmarks.report.site.library import Exhibit
from benchmarks.report.site.scoreboard import ends_of

_Values = list[dict[str, Any]]
_AUTO = "auto"
_MOST_BELOW_ONE_ANOTHER = 6


def draw_exhibit(exhibit: Exhibit) -> tuple[str, alt.TopLevelMixin] | None:
    """What the chart shows, and the chart; None where there is no value to draw."""
    for draw in (
        _draw_tests,
        _draw_attention,
        _draw_sweeps,
        _draw_quality,
        _draw_restoration,
        _draw_networks,
        _draw_rates,
    ):
        if found := draw(exhibit):
            return found
    return None


_Found = tuple[str, alt.TopLevelMixin] | None


def color_by(names: list[str], sign_of: Callable[[str], signs.Sign], title: str) -> alt.Color:
    """The color of each name in a field of that title."""
    colors = signs.color_apart(names, sign_of)
    shades = [colors[name] for name in names]
    return alt.Color(f"{title}:N", scale=alt.Scale(domain=names, range=shades), title=title)


def shape_by(names: list[str], sign_of: Callable[[str], signs.Sign], title: str) -> alt.Shape:
    """The marker of each name in a field of that title."""
    shapes = [sign_of(name).shape for name in names]
    return alt.Shape(f"{title}:N", scale=alt.Scale(domain=names, range=shapes), title=title)


def _data(values: _Values) -> alt.Data:
    return alt.Data(values=values)


def _names(values: _Values, field: str) -> list[str]:
    return sorted({row[field] for row in values})


def _name_bars(results: Iterable[LatencyResult]) -> str:
    """What bars show: so few rounds as some have carry no interval, but have a range."""
    few = any(result.rounds < MIN_PAIRS for result in results)
    return f"99 % interval{f', range where fewer than {MIN_PAIRS} rounds' if few else ''}"


def _draw_tests(exhibit: Exhibit) -> _Found:
    """A forest plot of the differences that claims on trained networks rest on."""
    values = []
    for tested in list_tested(exhibit.records):
        mean = tested.found.gain.mean
        low, high = ends_of(tested) or (mean, mean)
        what, _, where = tested.claim.rpartition(": ")
        values.append(
            {"claim": what.removesuffix(", small-scale"), "where": where, "dB": mean}
            | {"low": low, "high": high, "verdict": tested.verdict}
        )
    if not values:
        return None
    verdicts = [v for v in ("HOLDS", "FAILS", "UNCLEAR") if v in _names(values, "verdict")]
    colors = [signs.VERDICTS[verdict] for verdict in verdicts]
    charts = []
    for claim in dict.fromkeys(row["claim"] for row in values):
        own = _data([row for row in values if row["claim"] == claim])
        base = alt.Chart(own).encode(
            y=alt.Y("where:N", sort=None, title=None),
            color=alt.Color("verdict:N", scale=alt.Scale(domain=verdicts, range=colors)),
        )
        title = "difference in PSNR, dB, with its 99 % interval"
        bars = base.mark_rule(strokeWidth=2).encode(
            x=alt.X("low:Q", title=title), x2=alt.X2("high:Q")
        )
        tooltip = [
            alt.Tooltip("where:N"),
            alt.Tooltip("dB:Q", format="+.3f"),
            alt.Tooltip("verdict:N"),
        ]
        dots = base.mark_circle(size=45, opacity=1).encode(x=alt.X("dB:Q"), tooltip=tooltip)
        zero = rule_at("x", 0)
        layered = alt.layer(zero, bars, dots).properties(title=claim, width=520)
        charts.append(layered.properties(height=alt.Step(16)))
    about = (
        "Differences that the claims rest on. Where there are too few seeds, intervals are over "
        "the images alone, and decide nothing."
    )
    return about, alt.vconcat(*charts).resolve_scale(x="shared")


def _draw_attention(exhibit: Exhibit) -> _Found:
    """Time over the baseline's against k, a panel per N."""
    timed = select(exhibit.records, AttentionCell, AttentionLatency)
    if len({cell.k for cell in timed}) < 2:
        return None
    baseline = mode(cell.baseline for cell in timed)
    values: _Values = []
    for cell, result in timed.items():
        if cell.bias or result.clamped or cell.baseline != baseline:
            continue
        if cell.backend == baseline:
            continue
        lo, hi = result.ratio.interval
        name = cell.contender
        values.append(
            {"backend": name, "N": cell.n, "k": cell.k, "graph": cell.graph}
            | {"ratio": result.ratio.value, "low": lo, "high": hi, "verdict": result.judged}
        )
    names = _names(values, "backend")
    title, scale = f"time / {baseline}", alt.Scale(type="log")
    y = alt.Y("ratio:Q", scale=scale, title=title, axis=alt.Axis(format="g"))
    tooltip: list[Any] = [
        alt.Tooltip("backend:N"),
        alt.Tooltip("graph:N"),
        alt.Tooltip("k:Q"),
        alt.Tooltip("ratio:Q", format=".3f"),
        alt.Tooltip("verdict:N"),
    ]
    even = rule_at("y", 1)
    panels = []
    for n in sorted({row["N"] for row in values}):
        own = [row for row in values if row["N"] == n]
        base = alt.Chart(_data(own)).encode(
            x=key_axis(row["k"] for row in own),
            color=color_by(names, signs.sign_of_backend, "backend"),
        )
        marked = base.encode(
            y=y, shape=shape_by(names, signs.sign_of_backend, "backend"), tooltip=tooltip
        )
        # What auto chose lies on another line, so it gets rings around that line's marks.
        chosen = alt.datum.backend == _AUTO
        lines = base.transform_filter(~chosen).mark_line()
        panel = alt.layer(
            even,
            base.mark_rule().encode(y=alt.Y("low:Q", title=title), y2=alt.Y2("high:Q")),
            lines.encode(y=y, strokeDash=alt.StrokeDash("graph:N", title="graph")),
            marked.transform_filter(~chosen).mark_point(filled=True, size=45, opacity=1),
            marked.transform_filter(chosen).mark_point(size=110, opacity=1),
        )
        panels.append(panel.properties(width=200, height=220, title=f"N = {n:,} tokens"))
    bars = _name_bars(timed.values())
    about = f"Time of attention over that of {baseline}; 1 is as fast. Bars: {bars}."
    if _AUTO in names:
        about += f" Rings: {_AUTO}."
    return about, alt.concat(*panels, columns=3).resolve_scale(y="shared")


def _draw_sweeps(exhibit: Exhibit) -> _Found:
    """Time over the baseline's along one axis at a time."""
    values: _Values = [
        {"axis": axis, "value": str(value), "ratio": ratio.value}
        | {"low": ratio.interval[0], "high": ratio.interval[1]}
        | {"backend": contender, "pair": f"{contender} / {baseline}"}
        for axis, sweep in axis_sweeps(exhibit.records).items()
        for value, found in sweep.items()
        for (contender, baseline), ratio in found.items()
    ]
    if not values:
        return None
    pairs = _names(values, "pair")

    def sign_of(pair: str) -> signs.Sign:
        return signs.sign_of_backend(pair.partition(" / ")[0])

    panels = []
    for axis in dict.fromkeys(row["axis"] for row in values):
        base = alt.Chart(_data([row for row in values if row["axis"] == axis])).encode(
            x=alt.X("value:N", title=axis, sort=None, axis=alt.Axis(labelAngle=0)),
            xOffset=alt.XOffset("pair:N"),
            color=color_by(pairs, sign_of, "pair"),
        )
        scale = alt.Scale(type="log")
        y = alt.Y("ratio:Q", scale=scale, title="time / baseline", axis=alt.Axis(format="g"))
        bars = base.mark_rule(strokeWidth=2).encode(
            y=alt.Y("low:Q", scale=scale, title="time / baseline"), y2=alt.Y2("high:Q")
        )
        dots = base.mark_point(filled=True, size=45, opacity=1).encode(
            y=y,
            shape=shape_by(pairs, sign_of, "pair"),
            tooltip=[
                alt.Tooltip("pair:N"),
                alt.Tooltip("value:N"),
                alt.Tooltip("ratio:Q", format=".3f"),
            ],
        )
        panels.append(alt.layer(bars, dots).properties(width=200, height=170))
    timed = select(exhibit.records, AttentionCell, AttentionLatency).values()
    about = f"Time over the baseline's along one axis at a time. Bars: {_name_bars(timed)}."
    return about, alt.concat(*panels, columns=3).resolve_scale(y="shared")


def _draw_quality(exhibit: Exhibit) -> _Found:
    """PSNR of every method, measured or quoted, a panel per task and set."""
    values: _Values = []
    for cell, record in exhibit.records.items():
        psnr = record.result.quantity("psnr")
        if psnr is None or not isinstance(record.result, QualityResult | PrintedResult):
            continue
        assert isinstance(cell, QualityCell | PrintedCell)
        source = "quoted" if isinstance(cell, PrintedCell) else "measured"
        sign = signs.sign_of_model(cell.model)
        values.append(
            {"model": cell.model, "psnr": psnr.value, "source": source}
            | {"where": f"{cell.task} on {cell.dataset}", "color": sign.color, "shape": sign.shape}
        )
    shown = {row["where"] for row in values if row["source"] == "measured"}
    values = [row for row in values if row["where"] in shown]
    if not values:
        return None
    # The axis names the models, so that the legend says what filled marks are, and hollow ones.
    legend = alt.Legend(symbolFillColor="#444", symbolStrokeColor="#444", symbolType="circle")
    filled = alt.Scale(domain=["measured", "quoted"], range=[1, 0])
    panels = []
    for where in dict.fromkeys(row["where"] for row in values):
        own = [row for row in values if row["where"] == where]
        order = [r["model"] for r in sorted(own, key=lambda r: (-r["psnr"], r["model"]))]
        names = list(dict.fromkeys(order))
        panels.append(
            alt.Chart(_data(own))
            .mark_point(size=50, opacity=1)
            .encode(
                x=alt.X("psnr:Q", title="PSNR, dB", scale=alt.Scale(zero=False)),
                y=alt.Y("model:N", sort=names, title=None),
                stroke=alt.Stroke("color:N", scale=None),
                fill=alt.Fill("color:N", scale=None),
                fillOpacity=alt.FillOpacity("source:N", scale=filled, legend=legend),
                shape=alt.Shape("shape:N", scale=None),
                tooltip=[
                    alt.Tooltip("model:N"),
                    alt.Tooltip("psnr:Q", format=".3f"),
                    alt.Tooltip("source:N"),
                ],
            )
            .properties(width=250, height=alt.Step(14), title=where)
        )
    about = "PSNR of each method, best first, where something was measured here."
    return about, alt.concat(*panels, columns=2)


def _draw_restoration(exhibit: Exhibit) -> _Found:
    found = select(exhibit.records, RestorationCell, RestorationResult)
    values = [
        {"what": f"{cell.model}, {cell.input}", "quantity": name, "value": quantity.value / unit}
        for cell, result in found.items()
        for name, quantity, unit in (
            ("seconds in tiles", result.time, 1e3 if result.time.unit == "ms" else 1.0),
            ("peak in tiles, GiB", result.peak, 2**30),
        )
    ]
    if not values:
        return None
    panels = [
        alt.Chart(_data([row for row in values if row["quantity"] == quantity]))
        .mark_bar(color=signs.MODELS["kgt"].color)
        .encode(
            x=alt.X("value:Q", title=quantity),
            y=alt.Y("what:N", sort=None, title=None),
            tooltip=[alt.Tooltip("what:N"), alt.Tooltip("value:Q", format=".2f")],
        )
        .properties(width=260, height=alt.Step(16))
        for quantity in _names(values, "quantity")
    ]
    return "Time and memory of restoring in tiles within a byte budget.", alt.hconcat(*panels)


def _draw_networks(exhibit: Exhibit) -> _Found:
    """Median time of whole networks, a panel per task, input, window, element type and threads."""
    timed = select(exhibit.records, NetworkCell, NetworkLatency)
    values: _Values = []
    for cell, result in sorted(timed.items(), key=lambda pair: pair[0].pixels):
        lo, hi = result.latency.interval
        window = f"windows of {cell.window}" if cell.window else None
        threads = describe_threads(cell.threads) if cell.threads else None
        where = (cell.task, f"input {cell.input}", window, cell.dtype, threads)
        values.append(
            {"network": cell.contender, "where": ", ".join(filter(None, where))}
            | {"ms": result.latency.value, "low": lo, "high": hi, "rounds": result.rounds}
        )
    if not values:
        return None
    names = list(dict.fromkeys(cell.contender for cell in timed))
    base = alt.Chart().encode(
        y=alt.Y("network:N", sort=names, title=None),
        color=color_by(names, signs.sign_of_model, "network").legend(None),
    )
    time = partial(
        alt.X,
        scale=alt.Scale(type="log", nice=False, padding=8),
        axis=alt.Axis(format="~s", labelOverlap="greedy", labelSeparation=6),
        title=f"median time of a call, ms ({_name_bars(timed.values())})",
    )
    bars = base.mark_rule().encode(x=time("low:Q"), x2=alt.X2("high:Q"))
    dots = base.mark_point(filled=True, size=50, opacity=1).encode(
        x=time("ms:Q"),
        shape=shape_by(names, signs.sign_of_model, "network").legend(None),
        tooltip=[
            alt.Tooltip("network:N"),
            alt.Tooltip("where:N"),
            alt.Tooltip("ms:Q", format=",.1f"),
            alt.Tooltip("rounds:Q"),
        ],
    )
    places = list(dict.fromkeys(row["where"] for row in values))
    header = alt.Header(labelAngle=0, labelOrient="top", labelAnchor="start", labelFontWeight=600)
    columns = 1 if len(places) <= _MOST_BELOW_ONE_ANOTHER else 2
    chart = (
        alt.layer(bars, dots, data=_data(values))
        .properties(width=460 if columns == 1 else 330, height=alt.Step(16))
        .facet(facet=alt.Facet("where:N", sort=places, title=None, header=header), columns=columns)
        .resolve_scale(y="independent")
        .properties(align="all")
    )
    return "Median time of a call of each network, a panel per problem.", chart


def _draw_rates(exhibit: Exhibit) -> _Found:
    """PSNR of held-out images against the learning rate."""
    values = []
    for cell, result in select(exhibit.records, TrainingCell, TrainingResult).items():
        recipe = Description.parse(cell.recipe or "")
        fields = recipe.fields
        if result.held_out and "lr" in fields:
            where = f"{cell.task} by {recipe.name}, {fields.get('steps', 'all')} steps"
            values.append(
                {"model": cell.model, "lr": fields["lr"], "psnr": result.held_out.value}
                | {"where": where}
            )
    if not values:
        return None
    names = _names(values, "model")
    panels = []
    for where in dict.fromkeys(row["where"] for row in values):
        own = [row for row in values if row["where"] == where]
        ticks = alt.Axis(values=sorted({row["lr"] for row in own}), format="~g", labelFlush=False)
        scale = alt.Scale(type="log", nice=False, padding=12)
        base = alt.Chart(_data(own)).encode(
            x=alt.X("lr:Q", scale=scale, axis=ticks, title="peak learning rate"),
            y=alt.Y("psnr:Q", scale=alt.Scale(zero=False), title="PSNR of held-out images, dB"),
            color=color_by(names, signs.sign_of_model, "model"),
        )
        dots = base.mark_point(filled=True, size=45, opacity=1).encode(
            shape=shape_by(names, signs.sign_of_model, "model"),
            tooltip=[
                alt.Tooltip("model:N"),
                alt.Tooltip("lr:Q"),
                alt.Tooltip("psnr:Q", format=".3f"),
            ],
        )
        panel = alt.layer(base.mark_line(), dots)
        panels.append(panel.properties(width=220, height=180, title=where))
    return "PSNR of held-out images by learning rate.", alt.concat(*panels, columns=3)
