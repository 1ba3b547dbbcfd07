"""Cells of whole networks: their time, memory and cost, and restoring large photographs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.measure.attention import summarize_memory
from benchmarks.measure.cost import count_cost
from benchmarks.measure.counters import PARTS
from benchmarks.measure.networks import LatencyJob, NetworkJob
from benchmarks.measure.restoration import (
    RestorationJob,
    RestorationRun,
    photograph,
    restore_both_ways,
)
from benchmarks.measure.sandbox import Outcome, run_isolated
from benchmarks.models import create_described
from benchmarks.records.cell import NetworkCell, RestorationCell
from benchmarks.records.result import CostResult, NetworkMemory, Quantity, RestorationResult
from benchmarks.tasks import get_task
from kgt import list_backends


def run_network_cell(cell: NetworkCell, budget_s: float, limits: dict[str, Any]) -> Outcome:
    """Measure a latency or memory cell in a fresh process; the outcome's value is its result.

    Args:
        cell: of kind "latency" or "memory".
        budget_s: seconds after which the rounds of a latency cell stop.
        limits: of `run_isolated`.
    """
    job = _job(cell)
    if cell.kind == "memory":
        outcome = run_isolated("benchmarks.measure.networks:measure_network_memory", job, **limits)
        if outcome.status == "ok":
            return Outcome("ok", NetworkMemory(**summarize_memory(outcome.value)))
        return outcome
    baseline, same_function = _baseline(cell)
    payload = LatencyJob(job, _job(baseline), same_function, budget_s)
    return run_isolated("benchmarks.measure.networks:measure_network_latency", payload, **limits)


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
        cell: the cell.
        limits: of `run_isolated`.
        on_progress: called with the fraction that is done of each.

    Raises:
        RestorationFailed: when it cannot be restored in tiles.
    """
    scale: Any = create_described(cell.model).scale
    both = restore_both_ways(
        RestorationJob(
            cell.model, byte_budget=cell.byte_budget, seed=cell.seed, threads=limits["threads"]
        ),
        photograph(*(scale * side for side in cell.size)),
        memory_limit_bytes=limits["memory_limit_bytes"],
        timeout_s=limits["timeout_s"],
        on_progress=on_progress,
    )
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


def _baseline(cell: NetworkCell) -> tuple[NetworkCell, bool]:
    """What a cell's time is relative to, and whether that computes the same.

    The name of a backend stands for the same network on it, that of a network for a network with
    the same windows.
    """
    if cell.baseline is None:
        return cell, True
    if cell.baseline in list_backends():
        return cell.model_copy(update={"backend": cell.baseline}), True
    fields = {"model": cell.baseline, "backend": None, "k": None}
    return cell.model_copy(update=fields), False


def _job(cell: NetworkCell) -> NetworkJob:
    return NetworkJob(
        cell.network,
        cell.size,
        dtype="bfloat16" if cell.dtype == "bfloat16" else "float32",
        mode="train-step" if cell.mode == "backward" else "forward",
        seed=cell.seed,
        conditions=tuple(get_task(cell.task).conditions.items()) if cell.task else (),
    )
