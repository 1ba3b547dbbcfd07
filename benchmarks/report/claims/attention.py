"""The papers' claims on the memory and time of attention."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from benchmarks.records.cell import AttentionCell
from benchmarks.records.result import AttentionLatency, AttentionMemory
from benchmarks.report.judgment import Judgment, decide, judges, place_within
from benchmarks.report.networks import EXPONENT, LINEAR
from benchmarks.report.series import (
    Line,
    Lines,
    Records,
    attention_cells,
    attention_series,
    select,
)

# Memory is "flat" while doubling k moves it by less than this, relative.
_FLAT = 0.05
# Closed forms are held to the measured peak only where allocator slack is small beside it.
_CLOSED_FORM_FROM = 64 * 2**20
_CLOSED_FORM_RANGE = (0.9, 1.3)
# The paper's Torch-Gather takes all queries at once; ours works in chunks by default.
_WHOLE_GATHER = "torch-gather, whole"
_PRINTED = ("torch-mask", "torch-gather")


def _exponent(line: Line) -> float:
    """Slope of log(value) over log(size)."""
    values = [quantity.value for quantity in line.values()]
    return float(np.polyfit(np.log(list(line)), np.log(values), 1)[0])


def _judge_gather_grows(memory: Lines) -> Judgment:
    claim = "C1 Torch-Gather memory grows with k"
    lines = {n: line for n, line in memory.get(_WHOLE_GATHER, {}).items() if len(line) > 1}
    if not lines:
        return Judgment(claim, "NOT MEASURED", "no two k at one N")
    slopes = {n: _exponent(line) for n, line in lines.items()}
    grows = all(abs(slope - 1) <= EXPONENT for slope in slopes.values())
    evidence = ", ".join(f"N = {n:,}: bytes ~ k^{slope:.2f}" for n, slope in slopes.items())
    return Judgment(claim, decide(grows), evidence)


def _judge_mask_flat(memory: Lines) -> Judgment:
    claim = "C1 Torch-Mask memory is flat in k"
    lines = [line for line in memory.get("torch-mask", {}).values() if len(line) > 1]
    if not lines:
        return Judgment(claim, "NOT MEASURED", "no two k at one N")
    changes = [
        abs(line[large].value / line[small].value - 1)
        for line in lines
        for small, large in pairwise(sorted(line))
    ]
    evidence = f"largest change from one k to the next: {max(changes):.1%}"
    return Judgment(claim, decide(max(changes) <= _FLAT), evidence)


def _judge_mask_quadratic(memory: Lines) -> Judgment:
    claim = "C1 Torch-Mask memory grows with N^2"
    by_n = {n: line[min(line)] for n, line in memory.get("torch-mask", {}).items()}
    if len(by_n) < 2:
        return Judgment(claim, "NOT MEASURED", "no two N")
    slope = _exponent(by_n)
    evidence = f"bytes ~ N^{slope:.2f}, N = {sorted(by_n)}"
    return Judgment(claim, decide(abs(slope - 2) <= EXPONENT), evidence)


def _judge_triton_least(memory: Lines) -> Judgment:
    """As the paper has it, against its two others; whatever else needs less is named."""
    claim = "C1 Triton needs less memory than Torch-Mask and Torch-Gather"
    own = {
        (n, k): metric for n, line in memory.get("triton", {}).items() for k, metric in line.items()
    }
    as_little = {
        name: [
            lines[n][k].value <= metric.value
            for (n, k), metric in own.items()
            if n in lines and k in lines[n]
        ]
        for name, lines in memory.items()
        if name != "triton"
    }
    printed = [found for name, found in as_little.items() if name.startswith(_PRINTED) and found]
    if not printed:
        return Judgment(claim, "NOT MEASURED", "no Triton cell ran beside a rival: it needs a GPU")
    shown = (
        f"{name} in {sum(found)} of {len(found)} cells"
        for name, found in as_little.items()
        if found
    )
    return Judgment(
        claim,
        decide(not any(map(any, printed))),
        f"as little as Triton or less: {', '.join(shown)}",
    )


@judges("C1")
def judge_memory(records: Records) -> list[Judgment]:
    """How the memory of the implementations grows with k and N, and which needs the least."""
    memory = attention_series(records, AttentionMemory, lambda result: result.live_tensors)
    judged = {
        _judge_gather_grows: (_WHOLE_GATHER,),
        _judge_mask_flat: ("torch-mask",),
        _judge_mask_quadratic: ("torch-mask",),
        _judge_triton_least: tuple(memory) if "triton" in memory else (),
    }
    return [
        replace(judge(memory), cells=attention_cells(records, AttentionMemory, *contenders))
        for judge, contenders in judged.items()
    ]


@judges("C2")
def judge_linear_cost(records: Records) -> list[Judgment]:
    """Whether time and FLOPs are linear in k."""
    claim = "C2 attention time is linear in k at fixed N"
    judgments = []
    for backend in ("torch-gather", "triton"):
        whole = _exponents(records, f"{backend}, whole")
        for n, (ks, lo, hi) in _exponents(records, backend).items():
            verdict = place_within(lo, hi, LINEAR)
            evidence = f"time ~ k^[{lo:.2f}, {hi:.2f}] over k = {ks}"
            if verdict == "UNCLEAR":
                low, high = LINEAR
                evidence += f", neither within nor beside k^[{low:.2f}, {high:.2f}]"
            if n in whole:
                # On a CPU page faults set in with its size, which says nothing about attention.
                _, lo, hi = whole[n]
                evidence += f"; gathered whole: k^[{lo:.2f}, {hi:.2f}]"
            both = (backend, f"{backend}, whole")
            cells = attention_cells(records, AttentionLatency, *both, n=n)
            judgments.append(Judgment(f"{claim} ({backend}, N = {n:,})", verdict, evidence, cells))
    if not judgments:
        judgments.append(Judgment(claim, "NOT MEASURED", "no backend with three k at one N"))
    flops = attention_series(records, AttentionMemory, lambda result: result.flops)
    lines = flops.get("torch-gather", {})
    per_key = {n: {m.value / k for k, m in line.items()} for n, line in lines.items()}
    if per_key:
        claim = "C2 attention FLOPs are linear in k at fixed N"
        linear = all(len(values) == 1 for values in per_key.values())
        evidence = ", ".join(f"N = {n:,}: {min(v):,.0f} FLOP per key" for n, v in per_key.items())
        cells = attention_cells(records, AttentionMemory, "torch-gather")
        judgments.append(Judgment(claim, decide(linear), evidence, cells))
    return judgments


def _exponents(records: Records, contender: str) -> dict[int, tuple[list[int], float, float]]:
    """By N: at least three k, and the 99 % interval of the exponent of time in k.

    The times at different k were taken one after the other, so each is first divided by its
    baseline's of the same rounds, which does not depend on k. The interval of the resampled slopes
    is widened by what the A/A twins at both ends of the line allow.
    """
    times = attention_series(records, AttentionLatency, lambda r: r.latency)
    baselines = attention_series(records, AttentionLatency, lambda r: r.baseline_latency)
    floors = attention_series(records, AttentionLatency, lambda r: r.floor)
    found = {}
    for n, line in times.get(contender, {}).items():
        ks = sorted(line)
        if len(ks) < 3:
            continue
        random = np.random.default_rng(0)
        baseline, floor = baselines[contender][n], floors[contender][n]
        ratios = [np.log(np.divide(line[k].samples, baseline[k].samples)) for k in ks]
        medians = [np.median(random.choice(r, (2000, len(r))), axis=1) for r in ratios]
        slopes = np.polyfit(np.log(ks), medians, 1)[0]
        noise = sum(np.log1p(floor[k].value) for k in (ks[0], ks[-1]))
        slack = noise / np.log(ks[-1] / ks[0])
        lo, hi = np.quantile(slopes, [0.005, 0.995])
        found[n] = ks, float(lo - slack), float(hi + slack)
    return found


@judges("closed-form")
def judge_closed_form(records: Records) -> list[Judgment]:
    """Whether the closed forms say what is measured, where allocator slack is small."""
    low, high = _CLOSED_FORM_RANGE
    claim = f"measured peak over closed form within {low}-{high} above 64 MiB"
    ratios = {
        cell: result.peak_over_closed_form.value
        for cell, result in select(records, AttentionCell, AttentionMemory).items()
        if result.peak
        and result.closed_form
        and result.peak_over_closed_form
        and max(result.closed_form.value, result.peak.value) > _CLOSED_FORM_FROM
    }
    if not ratios:
        return [Judgment(claim, "NOT MEASURED", "no cell above 64 MiB")]
    least, most = min(ratios.values()), max(ratios.values())
    evidence = f"{len(ratios)} cells, from {least:.3f} to {most:.3f}"
    return [Judgment(claim, decide(low <= least and most <= high), evidence, (*ratios,))]
