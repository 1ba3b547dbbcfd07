"""Claims on whole networks: how cost grows, where memory ends, what budgets hold."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.models import parse_description
from benchmarks.records.record import Record
from benchmarks.records.statistics import CONFIDENCE
from benchmarks.report.judgment import Judgment, VerdictLabel
from benchmarks.report.series import Records
from kgt.config import preset

# Below this many pixels of input what is paid once per call is more than a few percent.
FIRST_PIXELS = 128 * 128
_LEAST_SIZES = 3
# An exponent counts as 1 within this.
_EXPONENT = 0.15
_QUANTITIES = {
    "time": ("latency", "latency"),
    "memory": ("memory", "peak"),
    "FLOPs": ("cost", "flops"),
}
# Of a network that builds a graph in every layer, for comparison.
_REBUILDS = ":graph_scope=layer"
Sizes = dict[int, Record]


@dataclass(frozen=True)
class Growth:
    """The exponent of a quantity in the number of pixels, with its 99 % interval."""

    value: float
    lo: float
    hi: float

    @property
    def verdict(self) -> VerdictLabel:
        """Whether the interval allows for, or excludes, linear growth."""
        if self.lo >= 1 - _EXPONENT and self.hi <= 1 + _EXPONENT:
            return "HOLDS"
        return "FAILS" if self.hi < 1 - _EXPONENT or self.lo > 1 + _EXPONENT else "UNCLEAR"


def network_lines(records: Records, kind: str) -> dict[str, Sizes]:
    """Records of a kind of network cell as contender -> pixels of input -> record, by pixels."""
    lines: dict[str, Sizes] = defaultdict(dict)
    for cell, record in records.items():
        if cell.kind == kind and cell.model and cell.input:
            lines[cell.contender][cell.pixels] = record
    return {name: dict(sorted(line.items())) for name, line in lines.items()}


def fit_growth(line: Sizes, metric: str) -> Growth | None:
    """Slope of log(metric) over log(pixels) from `FIRST_PIXELS` on; None for fewer than 3 sizes.

    The interval is that of least squares, so a line that bends has a wide one. That of a time is
    widened by what the A/A twins at both ends allow.
    """
    points = {
        pixels: record.metrics
        for pixels, record in line.items()
        if pixels >= FIRST_PIXELS and record.status == "ok" and metric in record.metrics
    }
    if len(points) < _LEAST_SIZES:
        return None
    sizes = np.log(list(points))
    fit = stats.linregress(sizes, np.log([metrics[metric].value for metrics in points.values()]))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(points) - 2) * fit.stderr)
    ends = [list(points.values())[index].get("floor") for index in (0, -1)]
    reach += sum(math.log1p(end.value) for end in ends if end) / float(np.ptp(sizes))
    slope = float(fit.slope)
    return Growth(slope, slope - reach, slope + reach)


def judge_linear_in_pixels(records: Records) -> list[Judgment]:
    """C8, for every quantity and contender."""
    judgments = []
    for quantity, (kind, metric) in _QUANTITIES.items():
        for name, line in network_lines(records, kind).items():
            growth = fit_growth(line, metric)
            if growth is None:
                continue
            evidence = (
                f"{quantity} ~ pixels^{growth.value:.3f} [{growth.lo:.3f}, {growth.hi:.3f}], "
                f"{_describe_range(line, metric)}"
            )
            claim = f"C8 {quantity} is linear in the number of pixels ({name})"
            judgments.append(Judgment(claim, growth.verdict, evidence))
    if judgments:
        return judgments
    reason = f"no network at {_LEAST_SIZES} sizes of at least {FIRST_PIXELS:,} pixels"
    return [Judgment("C8 total cost is linear in the number of pixels", "NOT MEASURED", reason)]


def _describe_range(line: Sizes, metric: str) -> str:
    inputs = [
        record.cell.input
        for pixels, record in line.items()
        if pixels >= FIRST_PIXELS and metric in record.metrics and record.status == "ok"
    ]
    return f"inputs {inputs[0]} to {inputs[-1]}"


def judge_memory_wall(records: Records) -> list[Judgment]:
    """Whether `native` fits wherever another backend does; the evidence says how far each reaches.

    That memory ends somewhere is no failure. A size that `native` was not tried at, or whose call
    took too long, says nothing.
    """
    claim = "memory wall: native fits at every size at which another backend of the network fits"
    contests = [
        (cell, records.get(cell.model_copy(update={"backend": "native"})))
        for cell, record in records.items()
        if cell.kind == "memory" and cell.model and cell.backend != "native" and _fits(record)
    ]
    decided = [(cell, own) for cell, own in contests if own and (_fits(own) or own.status == "oom")]
    walls = [
        f"{name}: {_describe_wall(line)}" for name, line in network_lines(records, "memory").items()
    ]
    if not decided:
        return [Judgment(claim, "NOT MEASURED", "; ".join(walls) or "no memory cell")]
    lost = [f"{cell.contender} at {cell.input}" for cell, own in decided if not _fits(own)]
    beaten = [f"farther than native: {', '.join(lost)}"] if lost else []
    return [Judgment(claim, "FAILS" if lost else "HOLDS", "; ".join([*beaten, *walls]))]


def _fits(record: Record) -> bool:
    return "peak" in record.metrics


def _describe_wall(line: Sizes) -> str:
    """The largest size that fits, and the smallest that wants too much memory."""
    fits = [record for record in line.values() if _fits(record)]
    ends = [record for record in line.values() if record.status == "oom"]
    evidence = "no size fits"
    if fits:
        evidence = f"{fits[-1].cell.input} takes {fits[-1].metrics['peak'].value / 2**20:,.0f} MiB"
    if ends:
        evidence += f", {ends[0].cell.input} {ends[0].reason.partition(';')[0]}"
    return evidence


def judge_byte_budget(records: Records) -> list[Judgment]:
    """Whether every restoration in tiles stayed within its budget, seen from another process."""
    claim = "restoring in tiles keeps its byte budget, measured from outside the process"
    shares = {
        cell: record.metrics["peak"].value / record.metrics["budget"].value
        for cell, record in records.items()
        if cell.kind == "restoration" and "peak" in record.metrics
    }
    if not shares:
        return [Judgment(claim, "NOT MEASURED", "nothing was restored")]
    worst = max(shares, key=lambda cell: shares[cell])
    evidence = (
        f"{len(shares)} restorations; the most is {shares[worst]:.0%} of the budget, "
        f"{worst.model} at {worst.input}"
    )
    return [Judgment(claim, "HOLDS" if shares[worst] <= 1 else "FAILS", evidence)]


def judge_counts_agree(records: Records) -> list[Judgment]:
    """Whether the counts of every network's FLOPs are the same to the last digit."""
    claim = (
        "all counts of a network's FLOPs are the same: torch, fvcore, closed form where there is"
    )
    costs = {cell: record.checks for cell, record in records.items() if "agrees" in record.checks}
    if not costs:
        return [Judgment(claim, "NOT MEASURED", "no cost cell")]
    apart = [f"{cell.contender} at {cell.input}" for cell, c in costs.items() if not c["agrees"]]
    three = sum(len(checks["counts"]) == 3 for checks in costs.values())
    evidence = f"{len(costs)} counted networks, {three} of them three ways"
    if apart:
        evidence += f"; apart: {', '.join(apart)}"
    return [Judgment(claim, "FAILS" if apart else "HOLDS", evidence)]


def judge_graph_paid_once(records: Records) -> list[Judgment]:
    """C2's second half, by exact counts: a stage's layers pay for one graph between them.

    A network is counted beside itself with a graph in every layer, which must cost as many times
    as much for graphs as a stage has layers.
    """
    claim = "C2 the stage's graph cost is paid once"
    judgments = []
    for cell, rebuilt in records.items():
        if cell.kind != "cost" or not str(cell.model).endswith(_REBUILDS):
            continue
        model = str(cell.model).removesuffix(_REBUILDS)
        shared = records.get(cell.model_copy(update={"model": model}))
        if shared and shared.status == rebuilt.status == "ok":
            name, fields = parse_description(model)
            depths = preset(name, **fields).depths
            once, often = _graph_flops(shared), _graph_flops(rebuilt)
            holds = once > 0 and often * len(depths) == once * sum(depths)
            evidence = (
                f"graphs cost {once:,} FLOP at {cell.input}, {often / max(once, 1):g} times that "
                f"with one per layer; {sum(depths)} layers in {len(depths)} stages"
            )
            verdict: VerdictLabel = "HOLDS" if holds else "FAILS"
            judgments.append(Judgment(f"{claim} ({shared.cell.contender})", verdict, evidence))
    return judgments or [
        Judgment(claim, "NOT MEASURED", "no network was counted beside one that rebuilds its graph")
    ]


def _graph_flops(record: Record) -> int:
    """FLOP of similarities; below 2^51 the share, a float64, gives the count back exactly."""
    return round(record.metrics["graph_share"].value * record.metrics["flops"].value)
