"""Findings on time: attention beside dense attention, and whole networks beside SwinIR."""

from __future__ import annotations

import math
from collections.abc import Iterator

import altair as alt

from benchmarks.records.cell import AttentionCell, NetworkCell
from benchmarks.records.record import Record
from benchmarks.records.result import AttentionLatency, LatencyResult, NetworkLatency
from benchmarks.records.statistics import MIN_PAIRS
from benchmarks.report import signs
from benchmarks.report.judgment import VerdictLabel
from benchmarks.report.series import select
from benchmarks.report.site.charts import key_axis, rule_at
from benchmarks.report.site.findings.finding import Finding, Number
from benchmarks.report.site.library import Exhibit, Library

# The share of keys that a finding is about.
_KEPT = 1 / 16
_KGT, _DENSE, _SWINIR = "kgt-s-x4", "kgt-s-x4-dense", "swinir-m-x4"


def find_speed_on_cpu(library: Library) -> Finding | None:
    """Whether the C++ kernel is faster than dense attention with few keys."""
    return _find_speed(library, "cpu", "native", "a CPU")


def find_speed_on_gpu(library: Library) -> Finding | None:
    """Whether the Triton kernel is faster than dense attention with few keys."""
    return _find_speed(library, "gpu", "triton", "a GPU")


def _find_speed(library: Library, profile: str, kernel: str, device: str) -> Finding | None:
    exhibit = library.find("study", "attention-crossover", profile)
    if exhibit is None:
        return None
    line = {
        cell: result
        for cell, result in select(exhibit.records, AttentionCell, AttentionLatency).items()
        if (cell.backend, cell.baseline, cell.graph) == (kernel, "dense", "photo")
    }
    if not line:
        return None
    most = max(cell.n for cell in line)
    at_most = {cell: result for cell, result in line.items() if cell.n == most}
    cell = min(at_most, key=lambda c: abs(c.k - most * _KEPT))
    result = at_most[cell]
    faster = [c.k for c, r in at_most.items() if r.judged == "FASTER"]
    verdicts: dict[str, VerdictLabel] = {"FASTER": "HOLDS", "SLOWER": "FAILS", "SAME": "FAILS"}
    verdict = verdicts.get(result.judged, "UNCLEAR")
    numbers = [_number(exhibit, cell, result, f"time / dense, k = {cell.k}, N = {most:,}")]
    every = next((c for c in at_most if c.k >= most), None)
    if every is not None:
        # What the kernel gains without leaving out a key.
        numbers.append(_number(exhibit, every, at_most[every], "the same with every key"))
    takes = f"attention to {cell.k} of {most:,} tokens takes {_format_ratio(result.ratio.value)}"
    words = {
        "HOLDS": f"On {device}, {takes} of dense attention's time, the graph not counted; "
        f"{_say_faster(faster)}.",
        "FAILS": f"On {device}, {takes} times dense attention's time; {_say_faster(faster)}.",
        "UNCLEAR": f"On {device}, {takes} times dense attention's time, within what the machine's "
        "noise allows.",
    }
    if verdict != "HOLDS":
        numbers += _compare_at_largest(library, profile, kernel, most)
    return Finding(
        key=f"speed-{profile}",
        question=f"Does attention to few keys save time on {device}?",
        sentence=words[verdict],
        verdict=verdict,
        why=f"{result.judged}: {describe_ratio(result)}, noise floor {result.floor.value:.1%}; "
        f"kernel {kernel}, {cell.dtype}, forward, the graph not counted",
        numbers=tuple(numbers),
        chart=_draw_line(at_most, kernel),
        about=f"Time of {kernel} over dense attention's against k, N = {most:,}; 1 is as fast.",
        claims=tuple(
            claim
            for claim in library.claims()
            if claim.exhibit is exhibit and cell in claim.judgment.cells
        ),
    )


def _compare_at_largest(
    library: Library, profile: str, kernel: str, above: int
) -> Iterator[Number]:
    """The kernel beside dense attention in the largest windows of Table 3, if they are larger."""
    exhibit = library.find("table", "3", profile)
    if exhibit is None:
        return
    timed = select(exhibit.records, AttentionCell, AttentionLatency)
    plain = {cell: result for cell, result in timed.items() if not cell.bias}
    most = max((cell.n for cell in plain), default=0)
    found = {(c.backend, c.k): (c, r.latency.value) for c, r in plain.items() if c.n == most}
    both = [k for backend, k in found if backend == kernel and ("dense", k) in found]
    if most <= above or not both:
        return
    k = min(both, key=lambda k: abs(k - most * _KEPT))
    (ours, ours_ms), (dense, dense_ms) = found[kernel, k], found["dense", k]
    yield Number(
        f"{ours_ms / dense_ms:.2f} x",
        f"medians {ours_ms:.3g} and {dense_ms:.3g} ms, each with an interval of its own",
        f"time / dense, k = {k}, N = {most:,}, {ours.dtype}",
        (exhibit.records[ours], exhibit.records[dense]),
    )


def _say_faster(keys: list[int]) -> str:
    return f"faster up to k = {max(keys):,}" if keys else "faster at no k"


def describe_ratio(result: LatencyResult) -> str:
    """The interval of the ratio or, of too few rounds, their range.

    Its ends have three digits that count, and more where those are the same.
    """
    lo, hi = result.ratio.interval
    least = max(2, 2 - math.floor(math.log10(lo)))
    tried = range(least, least + 3)
    digits = next((d for d in tried if f"{lo:.{d}f}" != f"{hi:.{d}f}"), least)
    text = f"{lo:.{digits}f} to {hi:.{digits}f}"
    if result.rounds < MIN_PAIRS:
        return f"{text} in {result.rounds} rounds, too few for an interval"
    return f"{text} (99 %)"


def _format_ratio(ratio: float) -> str:
    """Two decimals, of small ratios as many as give two digits."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def _number(
    exhibit: Exhibit, cell: AttentionCell | NetworkCell, result: LatencyResult, label: str
) -> Number:
    record: Record = exhibit.records[cell]
    return Number(
        f"{_format_ratio(result.ratio.value)} x", describe_ratio(result), label, (record,)
    )


def _draw_line(line: dict[AttentionCell, AttentionLatency], kernel: str) -> alt.TopLevelMixin:
    values = []
    for cell, result in line.items():
        lo, hi = result.ratio.interval
        values.append({"k": cell.k, "ratio": result.ratio.value, "low": lo, "high": hi})
    color = signs.sign_of_backend(kernel).color
    base = alt.Chart(alt.Data(values=values)).encode(
        x=key_axis((cell.k for cell in line), title="k, keys")
    )
    ratio = alt.Y("ratio:Q", title="time / dense", axis=alt.Axis(tickCount=4))
    band = base.mark_area(color=color, opacity=0.25).encode(
        y=alt.Y("low:Q", title="time / dense"), y2=alt.Y2("high:Q")
    )
    points = base.mark_line(color=color, point=alt.OverlayMarkDef(color=color, size=25)).encode(
        y=ratio, tooltip=[alt.Tooltip("k:Q"), alt.Tooltip("ratio:Q", format=".3f")]
    )
    even = rule_at("y", 1)
    return alt.layer(even, band, points).properties(width=190, height=58)


def find_network_time(library: Library) -> Finding | None:
    """What whole networks take: KGT beside SwinIR of its size, and what its graph saves."""
    exhibit = library.find("table", "semanir-3", "cpu")
    if exhibit is None:
        return None
    timed = {
        cell: result
        for cell, result in select(exhibit.records, NetworkCell, NetworkLatency).items()
        if cell.baseline == _SWINIR and cell.model in (_KGT, _DENSE)
    }
    ours = [cell for cell in timed if cell.model == _KGT]
    if not ours:
        return None
    cell = min(ours, key=lambda c: c.k or 0)
    result = timed[cell]
    numbers = [_number(exhibit, cell, result, f"time / SwinIR-M, k = {cell.k}, {cell.input}")]
    saved = ""
    for other, dense in timed.items():
        if other.model == _DENSE:
            saved = f"; without its graph, with every key, {dense.ratio.value:.1f} times"
            numbers.append(_number(exhibit, other, dense, "the same with every key"))
    verdicts: dict[str, VerdictLabel] = {"SLOWER": "FAILS", "FASTER": "HOLDS", "SAME": "HOLDS"}
    rows = {f"KGT-S, k = {c.k}" if c.k else "KGT-S, all keys": r for c, r in timed.items()}
    return Finding(
        key="network-time",
        question="What does KGT cost beside SwinIR?",
        sentence=f"On a CPU, KGT-S takes {result.ratio.value:.2f} times as long as SwinIR-M of "
        f"equal size{saved}.",
        verdict=verdicts.get(result.judged, "UNCLEAR"),
        why=f"as fast as SwinIR-M? {result.judged}: {describe_ratio(result)}, noise floor "
        f"{result.floor.value:.1%}; x4, input {cell.input}",
        numbers=tuple(numbers),
        chart=_draw_bars({name: r.ratio.value for name, r in rows.items()}),
        about="Time of KGT-S over that of SwinIR-M, whole networks on a CPU; 1 is as fast.",
    )


def _draw_bars(values: dict[str, float]) -> alt.TopLevelMixin:
    color = signs.sign_of_model(_KGT).color
    rows = [{"what": what, "ratio": value} for what, value in values.items()]
    bars = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(color=color, height=10)
        .encode(
            x=alt.X("ratio:Q", title="time / SwinIR-M"),
            y=alt.Y("what:N", sort=None, title=None),
            tooltip=[alt.Tooltip("what:N"), alt.Tooltip("ratio:Q", format=".3f")],
        )
    )
    even = rule_at("x", 1)
    return alt.layer(bars, even).properties(width=150, height=alt.Step(15))
