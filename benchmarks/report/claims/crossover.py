"""Claims on where key-graph attention is faster than dense attention, and on what `auto` picks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from benchmarks.records.cell import AttentionCell
from benchmarks.records.result import AttentionLatency
from benchmarks.report.judgment import Judgment, VerdictLabel, judges, place_within
from benchmarks.report.series import Records, attention_cells, latency_lines, select

# `auto` may take this much of the time of the best backend.
_MOST_LAG = 1 / 0.95
_KERNELS = ("native", "triton")


class _Lag(NamedTuple):
    """Time of what `auto` chose over the time of a rival, with its 99 % interval."""

    where: str
    chosen: str
    rival: str
    value: float
    lo: float
    hi: float

    @property
    def verdict(self) -> VerdictLabel:
        """Whether the interval allows for, or excludes, that the rival is too far ahead."""
        return place_within(self.lo, self.hi, (0, _MOST_LAG))


@judges("auto-near-best")
def judge_auto_near_best(records: Records) -> list[Judgment]:
    """Hold the time of `auto` to that of every backend which it did not choose."""
    claim = "auto is at least 0.95x as fast as the best backend at every (N, k)"
    lags = list(_lags_of_auto(records))
    if not lags:
        return [Judgment(claim, "NOT MEASURED", "auto has no rival at any (N, k)")]
    ahead, unclear = (
        [lag for lag in lags if lag.verdict == verdict] for verdict in ("FAILS", "UNCLEAR")
    )
    verdict: VerdictLabel = "FAILS" if ahead else "UNCLEAR" if unclear else "HOLDS"
    worst = max(ahead or unclear or lags, key=lambda lag: lag.value)
    evidence = (
        f"worst at {worst.where}: {worst.chosen}, which auto chose, takes {worst.value:.2f} "
        f"[{worst.lo:.2f}, {worst.hi:.2f}] of the time of {worst.rival}; "
        f"of {len(lags)} comparisons {len(ahead)} have a rival too far ahead, "
        f"{len(unclear)} are unclear"
    )
    if ahead:
        evidence += "; ahead at " + "; ".join(dict.fromkeys(lag.where for lag in ahead))
    cells = tuple(select(records, AttentionCell, AttentionLatency))
    return [Judgment(claim, verdict, evidence, cells)]


def _lags_of_auto(records: Records) -> Iterator[_Lag]:
    """`auto` beside every rival at every point; what it chose itself cannot be ahead of it."""
    direct = {(lag.where, lag.rival): lag for lag in _direct_lags(records)}
    for (n, graph), lines in latency_lines(records).items():
        for k, own in lines.get("auto", {}).items():
            where = f"N = {n:,}, k = {k:,}, {graph} graph"
            for name, line in lines.items():
                if name not in ("auto", own.backend) and k in line:
                    yield direct.get((where, name)) or _compare(where, own, name, line[k])


def _direct_lags(records: Records) -> Iterator[_Lag]:
    """`auto` timed in the same rounds as a rival, which decides more than two times of two runs."""
    for cell, result in select(records, AttentionCell, AttentionLatency).items():
        if cell.backend == "auto" and cell.baseline not in ("dense", None):
            where, rival = f"N = {cell.n:,}, k = {cell.k:,}, {cell.graph} graph", str(cell.baseline)
            ratio = result.ratio
            yield _Lag(where, result.backend, rival, ratio.value, *ratio.interval)


def _compare(where: str, own: AttentionLatency, rival: str, other: AttentionLatency) -> _Lag:
    """The quotient of two ratios over the same baseline.

    They were measured one after the other, so the interval is widened by what the A/A twins of
    both allow.
    """
    slack = (1 + own.floor.value) * (1 + other.floor.value)
    (lo, hi), (least, most) = own.ratio.interval, other.ratio.interval
    value = own.ratio.value / other.ratio.value
    return _Lag(where, own.backend, rival, value, lo / most / slack, hi / least * slack)


@judges("kernel-crosses-dense")
def judge_kernel_crosses_dense(records: Records) -> list[Judgment]:
    """Say per N and graph from which k on our kernel is no longer faster than `dense`."""
    claim = "is faster than dense where few keys are kept"
    judgments = []
    verdicts: dict[str, VerdictLabel] = {"FASTER": "HOLDS", "SLOWER": "FAILS", "SAME": "FAILS"}
    for (n, graph), lines in latency_lines(records).items():
        for name in filter(lines.__contains__, _KERNELS):
            line, where = lines[name], f"N = {n:,}, {graph} graph"
            verdict = verdicts.get(line[min(line)].judged, "UNCLEAR")
            evidence = _describe_crossing(n, line)
            cells = tuple(
                cell
                for cell in attention_cells(records, AttentionLatency, name, n=n)
                if cell.graph == graph and cell.baseline == "dense"
            )
            judgments.append(Judgment(f"{name} {claim} ({where})", verdict, evidence, cells))
    none = Judgment(f"a kernel {claim}", "NOT MEASURED", "none was timed beside dense")
    return judgments or [none]


def _describe_crossing(n: int, line: dict[int, AttentionLatency]) -> str:
    """Where the line of medians crosses 1, and between which k the verdicts change."""
    ks = sorted(line)
    ratios = {k: line[k].ratio.value for k in ks}
    ends = "time / dense " + ", ".join(
        f"{ratios[k]:.2f} at k = {k:,}" for k in dict.fromkeys((ks[0], ks[-1]))
    )
    crossings = [
        _interpolate(low, high, ratios)
        for low, high in pairwise(ks)
        if (ratios[low] < 1) != (ratios[high] < 1)
    ]
    if not crossings:
        side = "below" if ratios[ks[0]] < 1 else "above"
        return f"{side} dense at every k measured: {ends}"
    places = ", ".join(f"k = {k:,.0f} (k/N = {k / n:.2f})" for k in crossings)
    labels = {k: line[k].judged for k in ks}
    parts = [f"crosses dense at {places}", ends]
    if faster := [k for k in ks if labels[k] == "FASTER"]:
        parts.append(f"FASTER up to k = {max(faster):,}")
    if slower := [k for k in ks if labels[k] == "SLOWER"]:
        parts.append(f"SLOWER from k = {min(slower):,}")
    return "; ".join(parts)


def _interpolate(low: int, high: int, ratios: dict[int, float]) -> float:
    """The k between two at which a power law through both ratios is 1."""
    a, b = math.log(ratios[low]), math.log(ratios[high])
    return math.exp(math.log(low) + math.log(high / low) * a / (a - b))
