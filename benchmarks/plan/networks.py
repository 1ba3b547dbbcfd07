"""Cells of whole networks: their cost, and restoring large photographs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.measure.cost import count_cost
from benchmarks.measure.counters import PARTS
from benchmarks.measure.restoration import (
    RestorationJob,
    RestorationRun,
    photograph,
    restore_both_ways,
)
from benchmarks.models import create_described
from benchmarks.records.cell import NetworkCell, RestorationCell
from benchmarks.records.result import CostResult, Quantity, RestorationResult


def run_cost_cell(cell: NetworkCell) -> CostResult:
    """Count the FLOPs of a cell's network; shares are of all FLOPs."""
    cost = count_cost(cell.network, cell.size)
    total = max(1, cost.total_flops)
    shares: dict[str, Any] = {
        f"{part}_share": Quantity(value=cost.flops[part] / total) for part in PARTS
    }
    counts = {"torch": cost.total_flops, "fvcore": cost.by_fvcore.total()}
    if cost.closed_form:
        counts["closed form"] = cost.closed_form.flops.total()
    return CostResult(
        parameters=Quantity(value=cost.parameters),
        flops=Quantity(value=cost.total_flops, unit="FLOP"),
        **shares,
        input="{}x{}".format(*cost.size),
        padded="{}x{}".format(*cost.padded),
        counts=counts,
        agrees=cost.agrees,
    )


def run_restoration_cell(
    cell: RestorationCell, limits: dict[str, Any], on_progress: Callable[[float], object]
) -> RestorationResult:
    """Restore a photograph whole and in tiles; what is missing of the whole says why.

    Args:
        cell: what to restore.
        limits: of `run_isolated`.
        on_progress: called with the fraction that is done of each.

    Raises:
        RestorationFailed: when it cannot be restored in tiles.
    """
    scale: Any = create_described(cell.model).scale
    target = photograph(*(scale * side for side in cell.size))
    rest = dict(limits)
    own = {"byte_budget": cell.byte_budget, "seed": cell.seed, "threads": rest.pop("threads")}
    job = RestorationJob(cell.model, **own)
    both = restore_both_ways(job, target, **rest, on_progress=on_progress)
    result: dict[str, Any] = {
        "budget": Quantity(value=cell.byte_budget, unit="bytes"),
        **_describe_run("", both.tiled),
    }
    if isinstance(both.whole, RestorationRun):
        result |= _describe_run("whole_", both.whole)
    else:
        result["whole_missing"] = str(both.whole)
    if both.gain is not None and both.max_steps is not None:
        result["psnr_change"] = Quantity(value=both.gain, unit="dB", statistic="once")
        result["steps"] = Quantity(value=both.max_steps)
    return RestorationResult(**result)


def _describe_run(prefix: str, run: RestorationRun) -> dict[str, Any]:
    return {
        f"{prefix}time": Quantity(value=run.seconds, unit="s", statistic="once"),
        f"{prefix}peak": Quantity(value=run.peak_bytes, unit="bytes"),
        f"{prefix}plan": run.plan,
    }
