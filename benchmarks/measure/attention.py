"""Latency and memory of attention cells.

On a CPU both functions run in a fresh process each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.measure.memory import (
    PeakMemory,
    measure_device_peak,
    measure_peak,
    pin_allocator,
)
from benchmarks.measure.problems import (
    AttentionInputs,
    StageCall,
    closed_form,
    digest_tensors,
    gradient_errors,
    make_call,
    make_inputs,
    make_stage_call,
    reference_error,
    resolve_backend,
)
from benchmarks.measure.timing import ContenderTiming, LatencyResult, measure_latency
from benchmarks.records.cell import Cell
from benchmarks.records.record import Quantity
from benchmarks.records.statistics import judge
from kgt.errors import Failure

_WARM_N = 64


@dataclass(frozen=True)
class Measured:
    """What a measurement adds to a record."""

    metrics: dict[str, Quantity]
    checks: dict[str, object]


class WrongOutputError(Failure):
    """A contender's output is not the reference's; its time would mean nothing."""


def check_call(
    inputs: AttentionInputs, call: StageCall, backend: str, cell: Cell
) -> dict[str, object]:
    """Compare what a call yields, and the gradients if it takes them, with the reference.

    Raises:
        WrongOutputError: when an error is above what the element type allows.
    """
    checks = check_output(inputs, call(), backend)
    if cell.mode == "backward":
        check_gradients(inputs, backend, cell)
    ran = resolve_backend(cell, backend)
    return {**checks, "backend": ran, "stage_calls": call.layers}


def check_gradients(inputs: AttentionInputs, backend: str, cell: Cell) -> None:
    """Compare the gradients of a backend with those of the reference.

    Raises:
        WrongOutputError: when an error is above what the element type allows.
    """
    for name, (error, allowed) in gradient_errors(inputs, backend, cell).items():
        if not error <= allowed:
            raise WrongOutputError(
                f"{backend}: gradient of {name}: error {error:.3g} against {allowed:.3g} allowed"
            )


def check_output(inputs: AttentionInputs, out: Tensor, backend: str) -> dict[str, object]:
    """Compare an output with the reference, and describe what ran.

    Raises:
        WrongOutputError: when the error is above what the element type allows.
    """
    error, allowed = reference_error(inputs, out, backend)
    if not error <= allowed:
        raise WrongOutputError(f"{backend}: error {error:.3g} against {allowed:.3g} allowed")
    return {**_describe(inputs, out, backend), "max_error": error}


def _describe(inputs: AttentionInputs, out: Tensor, backend: str) -> dict[str, object]:
    return {
        "backend": backend,
        "k": inputs.graph.k,
        "clamped": inputs.graph.clamped,
        "inputs": inputs.digest(),
        "output": digest_tensors(out),
    }


def measure_memory_cell(cell: Cell) -> Measured:
    """Peak memory of one call of the cell's backend, beside its closed form."""
    pin_allocator(reuse=False)
    backend = cell.backend or "auto"
    # The first call loads libraries and starts threads, which are not the backend's memory.
    small = cell.model_copy(update={"n": _WARM_N, "k": min(cell.k or _WARM_N, _WARM_N)})
    make_call(make_inputs(small), backend, small)()
    inputs = make_inputs(cell)
    call = StageCall(make_call(inputs, backend, cell), inputs.graph)
    peak = (measure_device_peak if cell.device else measure_peak)(call)
    metrics = summarize_memory(peak)
    cost = closed_form(cell)
    if cost is not None:
        metrics["closed_form"] = Quantity(value=cost.peak_bytes, unit="bytes")
        metrics["flops"] = Quantity(value=cost.flops, unit="FLOP")
        if peak.peak_bytes is not None:
            metrics["peak_over_closed_form"] = Quantity(value=peak.peak_bytes / cost.peak_bytes)
    # The latency cell compares with the reference; equal digests tell that this output is that one.
    checks = _describe(inputs, call(), backend)
    if peak.peak_missing:
        checks["peak_missing"] = peak.peak_missing
    return Measured(metrics, checks)


def measure_latency_cell(job: tuple[Cell, float]) -> Measured:
    """Latency of the cell's backend, interleaved with its baseline and the baseline's twin.

    Args:
        job: the cell, and the seconds after which its rounds stop.
    """
    cell, budget_s = job
    pin_allocator(reuse=True)
    backend, baseline = cell.backend or "auto", cell.baseline or cell.backend or "auto"
    inputs = make_inputs(cell)
    names = dict.fromkeys((baseline, backend))
    calls = {name: make_stage_call(inputs, name, cell) for name in names}
    # The baseline's output is checked by its own cell.
    checks = check_call(inputs, calls[backend], backend, cell)
    result = measure_latency(
        calls,
        baseline,
        budget_s=budget_s,
        max_rounds=200,
        seed=cell.seed,
        calls_per_run=layers_of(calls),
        synchronize=synchronizer(cell.device),
    )
    return Measured(*summarize(result, result.contenders[backend], checks))


def summarize_memory(peak: PeakMemory) -> dict[str, Quantity]:
    """Metrics of a memory measurement."""
    metrics = {
        "live_tensors": Quantity(value=peak.live_tensor_bytes, unit="bytes", statistic="peak"),
        "called": Quantity(value=round(peak.called_s, 4), unit="s", statistic="sum"),
    }
    if peak.peak_bytes is not None:
        metrics["peak"] = Quantity(value=peak.peak_bytes, unit="bytes", statistic="peak")
    return metrics


def synchronizer(device: str | None) -> Callable[[], object]:
    """Waits for the device of a cell."""
    return torch.cuda.synchronize if device else lambda: None


def layers_of(calls: Mapping[str, StageCall]) -> dict[str, int]:
    """By how much the time of each call is divided."""
    return {name: call.layers for name, call in calls.items()}


def summarize(
    result: LatencyResult, timing: ContenderTiming, checks: dict[str, object]
) -> tuple[dict[str, Quantity], dict[str, object]]:
    """Metrics and checks of one contender of an interleaved measurement."""
    base = result.contenders[result.baseline]
    # Of the baseline itself, what can be said is how far its twin strayed.
    ratio = result.twin_ratio if timing is base else timing.ratio
    verdict = judge(ratio, result.floor)
    lo, hi = timing.median_interval_ms
    metrics = {
        "latency": Quantity(
            value=timing.median_ms,
            unit="ms",
            statistic="median",
            lo=lo,
            hi=hi,
            samples=_rounded(timing.samples_ms),
        ),
        "ratio": Quantity(
            value=ratio.value, statistic="median of paired ratios", lo=ratio.lo, hi=ratio.hi
        ),
        "floor": Quantity(value=result.floor, statistic="reach of the A/A twin's interval"),
        "first_call": Quantity(value=timing.warm_up.first_call_ms, unit="ms", statistic="once"),
        "called": Quantity(value=round(result.called_s, 4), unit="s", statistic="sum"),
    }
    if timing is not base:
        metrics["baseline_latency"] = Quantity(
            value=base.median_ms, unit="ms", statistic="median", samples=_rounded(base.samples_ms)
        )
    return metrics, {
        **checks,
        "baseline": result.baseline,
        "verdict": verdict.label,
        "why": verdict.reason,
        "rounds": result.rounds,
        "stopped_by": result.stopped_by,
    }


def _rounded(samples_ms: tuple[float, ...]) -> tuple[float, ...]:
    """Samples to a nanosecond-scale digit count that does not swell the records."""
    return tuple(round(sample, 4) for sample in samples_ms)
