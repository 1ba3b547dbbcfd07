"""Whole networks on photographs: forward passes and training steps, their time and peak memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure.attention import WrongOutputError, summarize, summarize_memory
from benchmarks.measure.memory import measure_device_peak, measure_peak, pin_allocator
from benchmarks.measure.problems import digest_tensors, photo_images
from benchmarks.measure.timing import measure_latency
from benchmarks.models import create_described
from benchmarks.records.cell import NetworkCell
from benchmarks.records.result import NetworkLatency, NetworkMemory
from benchmarks.tasks import get_task
from kgt import list_backends

# Of networks that differ in nothing but how they attend; a wrong window would differ by all of it.
_MOST_DIFFERENCE = {"float32": 1e-3, "bfloat16": 0.1}
# A call on a large image takes a minute. Fewer rounds than a verdict needs still give a time.
_LEAST_ROUNDS = 3


def make_network_call(cell: NetworkCell, batch: int = 1) -> Callable[[], Tensor]:
    """The call that is measured: it returns the output, or the loss before a training step.

    Args:
        cell: the network and its input. A step is L1 loss, backward pass and AdamW step;
            in "bfloat16" autocast chooses what runs in it.
        batch: number of images.

    Raises:
        ValueError: as `create_described`.
    """
    torch.manual_seed(cell.seed)
    # What is known of a task's inputs, such as the strength of the noise.
    conditions = get_task(cell.task).conditions if cell.task else {}
    network = create_described(cell.network, conditions).to(cell.device)
    # The time of a key-graph network depends on what its graphs share: noise would hide that.
    x = photo_images(batch, *cell.size).to(cell.device)

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
    timings = measure_latency(
        calls,
        baseline.network,
        budget_s=budget_s,
        min_rounds=_LEAST_ROUNDS,
        max_rounds=200,
        seed=cell.seed,
    )
    summary = summarize(timings, cell.network)
    return NetworkLatency(**summary, output=digest, difference=difference)


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
    peak = (measure_device_peak if cell.device else measure_peak)(call)
    return NetworkMemory(**summarize_memory(peak))
