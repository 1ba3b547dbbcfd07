"""Claims on whole networks: how cost grows, where memory ends, what budgets hold."""

from __future__ import annotations

from benchmarks.records.cell import CellKind, NetworkCell, RestorationCell
from benchmarks.records.description import Description
from benchmarks.records.record import Record
from benchmarks.records.result import CostResult, NetworkMemory, RestorationResult
from benchmarks.report.judgment import Judgment, decide, judges
from benchmarks.report.networks import (
    FIRST_PIXELS,
    LEAST_SIZES,
    Sizes,
    fit_growth,
    large_sizes,
    network_lines,
    trace,
    trace_all,
    trace_time,
)
from benchmarks.report.series import Records, select
from kgt.config import preset

_KINDS: tuple[CellKind, ...] = ("latency", "memory", "cost")


@judges("C8")
def judge_linear_in_pixels(records: Records) -> list[Judgment]:
    """C8, for every quantity and contender."""
    timed, peaks, costs = (network_lines(records, kind) for kind in _KINDS)
    quantities = {
        "time": (timed, {name: trace_time(line) for name, line in timed.items()}),
        "memory": (peaks, trace_all(peaks, NetworkMemory, lambda result: result.peak)),
        "FLOPs": (costs, trace_all(costs, CostResult, lambda result: result.flops)),
    }
    reason = f"no network at {LEAST_SIZES} sizes of at least {FIRST_PIXELS:,} pixels"
    judgments = []
    for quantity, (lines, curves) in quantities.items():
        verb = "are" if quantity == "FLOPs" else "is"
        grows = f"{quantity} {verb} linear in the number of pixels"
        fitted = {name: growth for name, curve in curves.items() if (growth := fit_growth(curve))}
        if curves and not fitted:
            claim = f"C8 {grows}"
            judgments.append(Judgment(claim, "NOT MEASURED", reason))
        for name, growth in fitted.items():
            inputs = [point.input for point in large_sizes(curves[name]).values()]
            evidence = (
                f"{quantity} ~ pixels^{growth.value:.3f} [{growth.lo:.3f}, {growth.hi:.3f}], "
                f"inputs {inputs[0]} to {inputs[-1]}"
            )
            claim = f"C8 {grows} ({name})"
            cells = tuple(attempt.cell for attempt in lines[name].values())
            judgments.append(Judgment(claim, growth.verdict, evidence, cells))
    missing = Judgment("C8 total cost is linear in the number of pixels", "NOT MEASURED", reason)
    return judgments or [missing]


@judges("memory-wall")
def judge_memory_wall(records: Records) -> list[Judgment]:
    """Whether `native` fits wherever another backend does; the evidence says how far each reaches.

    That memory ends somewhere is no failure. A size that `native` was not tried at, or whose call
    took too long, says nothing.
    """
    claim = "memory wall: native fits at every size at which another backend of the network fits"
    contests = [
        (cell, records.get(cell.model_copy(update={"backend": "native"})))
        for cell, result in select(records, NetworkCell, NetworkMemory).items()
        if cell.backend != "native" and result.peak
    ]
    decided = [(cell, own) for cell, own in contests if own and (_fits(own) or own.status == "oom")]
    walls = [
        f"{name}: {_describe_wall(line)}" for name, line in network_lines(records, "memory").items()
    ]
    if not decided:
        return [Judgment(claim, "NOT MEASURED", "; ".join(walls) or "no memory cell")]
    lost = [f"{cell.contender} at {cell.input}" for cell, own in decided if not _fits(own)]
    beaten = [f"farther than native: {', '.join(lost)}"] if lost else []
    cells = tuple(cell for cell, own in decided) + tuple(own.cell for _, own in decided)
    evidence = "; ".join([*beaten, *walls])
    return [Judgment(claim, decide(not lost), evidence, tuple(dict.fromkeys(cells)))]


def _fits(record: Record) -> bool:
    return isinstance(record.result, NetworkMemory) and record.result.peak is not None


def _describe_wall(line: Sizes) -> str:
    """The largest size that fits, and the smallest that wants too much memory."""
    fits = list(trace(line, NetworkMemory, lambda result: result.peak).values())
    ends = [attempt for attempt in line.values() if attempt.record.status == "oom"]
    evidence = "no size fits"
    if fits:
        evidence = f"{fits[-1].input} takes {fits[-1].value / 2**20:,.0f} MiB"
    if ends:
        evidence += f", {ends[0].cell.input} {ends[0].record.reason.partition(';')[0]}"
    return evidence


@judges("byte-budget")
def judge_byte_budget(records: Records) -> list[Judgment]:
    """Whether every restoration in tiles stayed within its budget, seen from another process."""
    claim = "restoring in tiles keeps its byte budget, measured from outside the process"
    shares = {
        cell: result.peak.value / result.budget.value
        for cell, result in select(records, RestorationCell, RestorationResult).items()
    }
    if not shares:
        return [Judgment(claim, "NOT MEASURED", "nothing was restored")]
    worst = max(shares, key=lambda cell: shares[cell])
    evidence = (
        f"{len(shares)} restorations; the most is {shares[worst]:.0%} of the budget, "
        f"{worst.model} at {worst.input}"
    )
    return [Judgment(claim, decide(shares[worst] <= 1), evidence, (*shares,))]


@judges("counts-agree")
def judge_counts_agree(records: Records) -> list[Judgment]:
    """Whether the counts of every network's FLOPs are the same to the last digit."""
    claim = (
        "all counts of a network's FLOPs are the same: torch, fvcore, closed form where there is"
    )
    costs = select(records, NetworkCell, CostResult)
    if not costs:
        return [Judgment(claim, "NOT MEASURED", "no cost cell")]
    apart = [f"{cell.contender} at {cell.input}" for cell, c in costs.items() if not c.agrees]
    three = sum(len(cost.counts) == 3 for cost in costs.values())
    evidence = f"{len(costs)} counted networks, {three} of them three ways"
    if apart:
        evidence += f"; apart: {', '.join(apart)}"
    return [Judgment(claim, decide(not apart), evidence, (*costs,))]


@judges("C2-graph")
def judge_graph_paid_once(records: Records) -> list[Judgment]:
    """C2's second half, by exact counts: a stage's layers pay for one graph between them.

    A network is counted beside itself with a graph in every layer, which must cost as many times
    as much for graphs as a stage has layers.
    """
    claim = "C2 the stage's graph cost is paid once"
    judgments = []
    costs = select(records, NetworkCell, CostResult)
    for cell, rebuilt in costs.items():
        described = Description.parse(cell.model)
        sharing = described.shared_graphs()
        twin = cell.model_copy(update={"model": str(sharing)})
        if not described.rebuilds_graphs or twin not in costs:
            continue
        depths = preset(sharing.name, **sharing.fields).depths
        once, often = costs[twin].graph_flops, rebuilt.graph_flops
        holds = once > 0 and often * len(depths) == once * sum(depths)
        evidence = (
            f"graphs cost {once:,} FLOP at {cell.input}, {often / max(once, 1):g} times that "
            f"with one per layer; {sum(depths)} layers in {len(depths)} stages"
        )
        paid = f"{claim} ({twin.contender})"
        judgments.append(Judgment(paid, decide(holds), evidence, (twin, cell)))
    return judgments or [
        Judgment(claim, "NOT MEASURED", "no network was counted beside one that rebuilds its graph")
    ]
