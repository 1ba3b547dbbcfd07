"""Cells of whole networks: their time, memory and cost, and restoring large photographs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.measure.attention import summarize_memory
from benchmarks.measure.cost import NetworkCost, count_cost
from benchmarks.measure.counters import PARTS
from benchmarks.measure.networks import LatencyJob, NetworkJob
from benchmarks.measure.restoration import (
    RestorationJob,
    RestorationResult,
    photograph,
    restore_both_ways,
)
from benchmarks.measure.sandbox import Outcome, run_isolated
from benchmarks.models import create_described
from benchmarks.records.cell import Cell
from benchmarks.records.record import Quantity
from benchmarks.tasks import get_task
from kgt import list_backends
from kgt.tiles import BYTE_BUDGET


def run_network_cell(cell: Cell, budget_s: float, limits: dict[str, Any]) -> Outcome:
    """Measure a latency or memory cell in a fresh process; its value is (metrics, checks).

    Args:
        cell: with `model` and `input`.
        budget_s: seconds after which the rounds of a latency cell stop.
        limits: of `run_isolated`.
    """
    job = _job(cell)
    if cell.kind == "memory":
        outcome = run_isolated("benchmarks.measure.networks:measure_network_memory", job, **limits)
        if outcome.status == "ok":
            return Outcome("ok", (summarize_memory(outcome.value), {}))
        return outcome
    baseline, same_function = _baseline(cell)
    payload = LatencyJob(job, _job(baseline), same_function, budget_s)
    return run_isolated("benchmarks.measure.networks:measure_network_latency", payload, **limits)


def run_cost_cell(cell: Cell) -> dict[str, Any]:
    """Count the FLOPs of a cell's network; shares are of all FLOPs."""
    cost = count_cost(cell.network, cell.size)
    metrics = {
        "parameters": Quantity(value=cost.parameters),
        "flops": Quantity(value=cost.total_flops, unit="FLOP"),
    }
    for part in PARTS:
        metrics[f"{part}_share"] = Quantity(value=cost.flops[part] / max(1, cost.total_flops))
    return {"metrics": metrics, "checks": _describe_counts(cost)}


def run_restoration_cell(
    cell: Cell, limits: dict[str, Any], on_progress: Callable[[float], object]
) -> dict[str, Any]:
    """Restore a photograph whole and in tiles; what is missing of the whole says why.

    Args:
        cell: with `model` and `input`.
        limits: of `run_isolated`.
        on_progress: told the fraction that is done of each.

    Raises:
        RestorationFailed: when it cannot be restored in tiles.
    """
    scale: Any = create_described(cell.network).scale
    budget = cell.byte_budget or BYTE_BUDGET
    both = restore_both_ways(
        RestorationJob(cell.network, byte_budget=budget, seed=cell.seed, threads=limits["threads"]),
        photograph(*(scale * side for side in cell.size)),
        memory_limit_bytes=limits["memory_limit_bytes"],
        timeout_s=limits["timeout_s"],
        on_progress=on_progress,
    )
    metrics = {"budget": Quantity(value=budget, unit="bytes")}
    checks: dict[str, Any] = {}
    for prefix, result in (("", both.tiled), ("whole_", both.whole)):
        if isinstance(result, RestorationResult):
            metrics[f"{prefix}time"] = Quantity(value=result.seconds, unit="s", statistic="once")
            metrics[f"{prefix}peak"] = Quantity(value=result.peak_bytes, unit="bytes")
            checks[f"{prefix}plan"] = result.plan
        else:
            checks[f"{prefix}missing"] = str(result)
    if both.gain is not None and both.max_steps is not None:
        metrics["psnr_change"] = Quantity(value=both.gain, unit="dB", statistic="once")
        metrics["steps"] = Quantity(value=both.max_steps)
    return {"metrics": metrics, "checks": checks}


def _describe_counts(cost: NetworkCost) -> dict[str, Any]:
    counts = {"torch": cost.total_flops, "fvcore": cost.by_fvcore.total()}
    if cost.closed_form:
        counts["closed form"] = cost.closed_form.flops.total()
    return {
        "input": "{}x{}".format(*cost.size),
        "padded": "{}x{}".format(*cost.padded),
        "counts": counts,
        "agrees": cost.agrees,
    }


def _baseline(cell: Cell) -> tuple[Cell, bool]:
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


def _job(cell: Cell) -> NetworkJob:
    return NetworkJob(
        cell.network,
        cell.size,
        dtype="bfloat16" if cell.dtype == "bfloat16" else "float32",
        mode="train-step" if cell.mode == "backward" else "forward",
        seed=cell.seed,
        conditions=tuple(get_task(cell.task).conditions.items()) if cell.task else (),
    )
