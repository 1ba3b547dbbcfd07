"""Latency and memory of attention cells.

On a CPU both functions run in a fresh process each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
from benchmarks.measure.timing import ContenderTiming, Timings, measure_latency
from benchmarks.records.cell import AttentionCell
from benchmarks.records.result import AttentionLatency, AttentionMemory, Quantity
from benchmarks.records.statistics import Ratio
from kgt.errors import Failure

_WARM_N = 64


class WrongOutputError(Failure):
    """A contender's output is not the reference's; its time would mean nothing."""


def check_call(
    inputs: AttentionInputs, call: StageCall, backend: str, cell: AttentionCell
) -> tuple[Tensor, float]:
    """The output of a call, compared with the reference, as are the gradients if it takes them.

    Returns:
        The output, and its largest error.

    Raises:
        WrongOutputError: when an error is above what the element type allows.
    """
    out = call()
    error = check_output(inputs, out, backend)
    if cell.mode == "backward":
        for name, found in gradient_errors(inputs, backend, cell).items():
            _require(f"{backend}: gradient of {name}", *found)
    return out, error


def check_output(inputs: AttentionInputs, out: Tensor, backend: str) -> float:
    """The largest error of an output against the reference.

    Raises:
        WrongOutputError: when it is above what the element type allows.
    """
    error, allowed = reference_error(inputs, out, backend)
    _require(backend, error, allowed)
    return error


def _require(what: str, error: float, allowed: float) -> None:
    if not error <= allowed:  # a NaN is wrong, too
        raise WrongOutputError(f"{what}: error {error:.3g} against {allowed:.3g} allowed")


def _describe(inputs: AttentionInputs, out: Tensor) -> dict[str, Any]:
    return {
        "k": inputs.graph.k,
        "clamped": inputs.graph.clamped,
        "inputs": inputs.digest(),
        "output": digest_tensors(out),
    }


def measure_memory_cell(cell: AttentionCell) -> AttentionMemory:
    """Peak memory of one call of the cell's backend, beside its closed form."""
    pin_allocator(reuse=False)
    # The first call loads libraries and starts threads, which are not the backend's memory.
    small = cell.model_copy(update={"n": _WARM_N, "k": min(cell.k, _WARM_N)})
    make_call(make_inputs(small), cell.backend, small)()
    inputs = make_inputs(cell)
    call = StageCall(make_call(inputs, cell.backend, cell), inputs.graph)
    peak, out = (measure_device_peak if cell.device else measure_peak)(call)
    expected: dict[str, Any] = {}
    cost = closed_form(cell)
    if cost is not None:
        expected["closed_form"] = Quantity(value=cost.peak_bytes, unit="bytes")
        expected["flops"] = Quantity(value=cost.flops, unit="FLOP")
        if peak.peak_bytes is not None:
            ratio = peak.peak_bytes / cost.peak_bytes
            expected["peak_over_closed_form"] = Quantity(value=ratio)
    # The latency cell compares with the reference; equal digests show that this output is that one.
    return AttentionMemory(
        **summarize_memory(peak), **expected, **_describe(inputs, out), backend=cell.backend
    )


def baseline_of(cell: AttentionCell) -> AttentionCell:
    """What the time of a cell is relative to: another backend with its own budget, or the cell."""
    if cell.baseline is None:
        return cell
    return cell.model_copy(update={"backend": cell.baseline, "byte_budget": None})


def measure_latency_cells(
    job: tuple[Sequence[AttentionCell], float],
) -> list[AttentionLatency]:
    """Latencies of cells with one baseline, which is called once per round for all of them.

    Args:
        job: cells that differ in nothing but the backend and its byte budget, and the seconds per
            cell after which the rounds stop.

    Returns:
        A result per cell; each took an equal share of the seconds within calls.
    """
    cells, budget_s = job
    pin_allocator(reuse=True)
    baseline = baseline_of(cells[0])
    inputs = make_inputs(baseline)
    contenders = {cell.contender: cell for cell in (baseline, *cells)}
    calls = {name: make_stage_call(inputs, cell.backend, cell) for name, cell in contenders.items()}
    # The baseline's output is checked by its own cell.
    checks = [
        {
            **_describe(inputs, out),
            "max_error": error,
            "backend": resolve_backend(cell, cell.backend),
            "stage_calls": calls[cell.contender].layers,
        }
        for cell in cells
        for out, error in [check_call(inputs, calls[cell.contender], cell.backend, cell)]
    ]
    timings = measure_latency(
        calls,
        baseline.contender,
        budget_s=budget_s * len(cells),
        max_rounds=200,
        seed=baseline.seed,
        calls_per_run=layers_of(calls),
        synchronize=synchronizer(baseline.device),
    )
    return [
        AttentionLatency(**summarize(timings, cell.contender, shared_by=len(cells)), **check)
        for cell, check in zip(cells, checks, strict=True)
    ]


def summarize_memory(peak: PeakMemory) -> dict[str, Any]:
    """The fields of a `MemoryResult`."""
    held = peak.peak_bytes
    return {
        "live_tensors": Quantity(value=peak.live_tensor_bytes, unit="bytes", statistic="peak"),
        "called": Quantity(value=round(peak.called_s, 4), unit="s", statistic="sum"),
        "peak": None if held is None else Quantity(value=held, unit="bytes", statistic="peak"),
        "peak_missing": peak.peak_missing,
    }


def synchronizer(device: str | None) -> Callable[[], object]:
    """Waits for the device of a cell."""
    return torch.cuda.synchronize if device else lambda: None


def layers_of(calls: Mapping[str, StageCall]) -> dict[str, int]:
    """By how much the time of each call is divided."""
    return {name: call.layers for name, call in calls.items()}


def summarize(timings: Timings, contender: str, shared_by: int = 1) -> dict[str, Any]:
    """The fields of a `LatencyResult` of one contender, but for its output.

    Args:
        timings: what was measured.
        contender: its name in it.
        shared_by: the number of results that the measurement gives.
    """
    called_s = timings.called_s / shared_by
    timing, base = timings.contenders[contender], timings.contenders[timings.baseline]
    # Of the baseline itself, what can be said is how far its twin strayed.
    ratio = timings.twin_ratio if timing is base else timing.ratio
    return {
        "latency": _median(timing, timing.median_interval_ms),
        "ratio": describe_ratio(ratio),
        "floor": Quantity(value=timings.floor, statistic="reach of the A/A twin's interval"),
        "first_call": Quantity(value=timing.warm_up.first_call_ms, unit="ms", statistic="once"),
        "called": Quantity(value=round(called_s, 4), unit="s", statistic="sum"),
        "baseline_latency": None if timing is base else _median(base, (None, None)),
        "baseline": timings.baseline,
        "rounds": timings.rounds,
        "stopped_by": timings.stopped_by,
    }


def describe_ratio(ratio: Ratio) -> Quantity:
    """The quantity that a ratio of times is."""
    return Quantity(
        value=ratio.value, statistic="median of paired ratios", lo=ratio.lo, hi=ratio.hi
    )


def _median(timing: ContenderTiming, interval: tuple[float | None, float | None]) -> Quantity:
    """Median and samples, these to a number of digits that does not swell the records."""
    return Quantity(
        value=timing.median_ms,
        unit="ms",
        statistic="median",
        lo=interval[0],
        hi=interval[1],
        samples=tuple(round(sample, 4) for sample in timing.samples_ms),
    )
