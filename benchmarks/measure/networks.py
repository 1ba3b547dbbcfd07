"""Whole networks on photographs: forward passes and training steps, their time and peak memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure.attention import (
    WrongOutputError,
    describe_ratio,
    summarize,
    summarize_memory,
)
from benchmarks.measure.memory import measure_device_peak, measure_peak, pin_allocator
from benchmarks.measure.problems import digest_tensors, photo_images
from benchmarks.measure.timing import measure_latency
from benchmarks.models import create_described
from benchmarks.records.cell import NetworkCell
from benchmarks.records.result import UNIT_INPUT, NetworkLatency, NetworkMemory
from benchmarks.records.statistics import compare_paired
from benchmarks.tasks import get_task
from kgt import export_network, list_backends
from kgt.contract import Restorer, as_module, has_parameters
from kgt.errors import unknown

# Of networks that differ in nothing but how they attend; a wrong window would differ by all of it.
_MOST_DIFFERENCE = {"float32": 1e-3, "bfloat16": 0.1}

_RUNTIMES = ("eager", "compiled", "onnxruntime")


def make_network_call(
    cell: NetworkCell, batch: int = 1, runtime: str = "eager"
) -> Callable[[], Tensor]:
    """The call that is measured: it returns the output, or the loss before a training step.

    Args:
        cell: the network and its input. A step is L1 loss, backward pass and AdamW step;
            in "bfloat16" autocast chooses what runs in it.
        batch: number of images.
        runtime: "eager", "compiled", by torch.compile, or "onnxruntime".

    Raises:
        ValueError: as `create_described`, for an unknown runtime, for what onnxruntime is not
            measured in, or for a step of what has no parameters.
    """
    if runtime not in _RUNTIMES:
        raise unknown("runtime", runtime, _RUNTIMES)
    torch.manual_seed(cell.seed)
    # What is known of a task's inputs, such as the strength of the noise.
    conditions = get_task(cell.task).conditions if cell.task else {}
    network = create_described(cell.network, conditions).to(cell.device)
    if cell.mode == "backward" and not has_parameters(network):
        raise ValueError(f"{cell.network} has no parameters to train; measure it forward")
    # The time of a key-graph network depends on what its graphs share: noise would hide that.
    x = photo_images(batch, *cell.size).to(cell.device)

    if runtime == "onnxruntime":
        return _make_onnx_call(network, cell, x)
    if runtime == "compiled":
        as_module(network).compile(dynamic=False)

    def forward() -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=cell.dtype == "bfloat16"):
            return network(x)

    if cell.mode != "backward":
        network.eval()
        return torch.inference_mode()(forward)

    network.train()
    optimizer = torch.optim.AdamW(network.parameters())
    with torch.no_grad():
        target = torch.rand_like(forward(), dtype=torch.float32)

    def step() -> Tensor:
        loss = F.l1_loss(forward().float(), target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


def _make_onnx_call(network: Restorer, cell: NetworkCell, x: Tensor) -> Callable[[], Tensor]:
    if cell.mode == "backward" or cell.dtype == "bfloat16" or cell.device or len(x) > 1:
        raise ValueError("onnxruntime is measured forward on a CPU, in float32, with one image")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export_network(network, path, cell.size)
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    return lambda: torch.from_numpy(session.run(None, {"image": x.numpy()})[0])


def measure_network_latency(job: tuple[NetworkCell, float]) -> NetworkLatency:
    """Time of a network beside its baseline; runs in a fresh process.

    Args:
        job: the cell, and the seconds after which its rounds stop.

    Raises:
        WrongOutputError: for an output that is not finite, or not the baseline's where it must be.
    """
    cell, budget_s = job
    pin_allocator(reuse=True)
    baseline, same_function = _baseline(cell)
    calls = {
        name: make_network_call(contender)
        for name, contender in {baseline.network: baseline, cell.network: cell}.items()
    }
    outputs = {name: call() for name, call in calls.items()}
    own = outputs[cell.network]
    if not torch.isfinite(own).all():
        raise WrongOutputError(f"{cell.network}: the output is not finite")
    difference = None
    if same_function:
        difference = _compare(own, outputs[baseline.network], cell, baseline)
    digest = digest_tensors(own)
    del outputs, own  # they would stay in memory beside those of the rounds
    unit = cell.model_copy(update={"input": UNIT_INPUT})
    if cell.pixels > unit.pixels:
        calls[UNIT_INPUT] = make_network_call(unit)
    timings = measure_latency(
        calls, baseline.network, budget_s=budget_s, max_rounds=200, seed=cell.seed
    )
    growth = None
    if UNIT_INPUT in calls:
        own_times = timings.contenders[cell.network].samples_ms
        growth = describe_ratio(
            compare_paired(own_times, timings.contenders[UNIT_INPUT].samples_ms)
        )
    summary = summarize(timings, cell.network)
    return NetworkLatency(**summary, output=digest, difference=difference, growth=growth)


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


def _compare(own: Tensor, other: Tensor, cell: NetworkCell, baseline: NetworkCell) -> float:
    """The relative difference of the outputs, where there must be none."""
    difference = ((own - other).abs().max() / other.abs().max()).item()
    allowed = _MOST_DIFFERENCE[cell.dtype or "float32"]
    if not difference <= allowed:
        raise WrongOutputError(
            f"{cell.network}: the output differs from that of {baseline.network} by "
            f"{difference:.2g} of its largest value, {allowed:g} allowed"
        )
    return difference


def measure_network_memory(job: tuple[NetworkCell, int]) -> NetworkMemory:
    """Peak memory of one call beyond parameters and optimizer state; runs in a fresh process.

    Args:
        job: the cell, and the number of images.
    """
    cell, batch = job
    pin_allocator(reuse=False)
    call = make_network_call(cell, batch)
    # The first step makes the optimizer's state, and the first call of all loads libraries.
    call()
    peak, _ = (measure_device_peak if cell.device else measure_peak)(call)
    return NetworkMemory(**summarize_memory(peak))
