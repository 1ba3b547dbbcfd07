"""Whole networks on photographs: forward passes and training steps, their time and peak memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure.attention import WrongOutputError, summarize
from benchmarks.measure.memory import PeakMemory, measure_device_peak, measure_peak, pin_allocator
from benchmarks.measure.problems import digest_tensors, photo_images
from benchmarks.measure.timing import measure_latency
from benchmarks.models import create_described
from benchmarks.records.result import NetworkLatency
from kgt.contract import Restorer

# Of networks that differ in nothing but how they attend; a wrong window would differ by all of it.
_MOST_DIFFERENCE = {"float32": 1e-3, "bfloat16": 0.1}
# A call on a large image takes a minute. Fewer rounds than a verdict needs still give a time.
_LEAST_ROUNDS = 3


@dataclass(frozen=True)
class NetworkJob:
    """One network on one batch of images.

    Attributes:
        description: NAME:field=value:field=value.
        size: height and width of the images in pixels.
        dtype: "float32", or "bfloat16" for what autocast runs in it.
        mode: "forward", or "train-step": L1 loss, backward pass and AdamW step.
        batch: number of images.
        seed: seed of weights and training targets.
        conditions: what is known of a task's inputs, such as ("sigma", 25); a network is told what
            it has a field for.
        device: "cuda" for a GPU; None is the CPU.
    """

    description: str
    size: tuple[int, int]
    dtype: Literal["float32", "bfloat16"] = "float32"
    mode: Literal["forward", "train-step"] = "forward"
    batch: int = 1
    seed: int = 0
    conditions: tuple[tuple[str, int], ...] = ()
    device: Literal["cuda"] | None = None


def make_network_call(job: NetworkJob) -> Callable[[], Tensor]:
    """The call that is measured: it returns the output, or the loss before the step.

    Raises:
        ValueError: as `create_described`.
    """
    torch.manual_seed(job.seed)
    # The time of a key-graph network depends on what its graphs share: noise would hide that.
    network = create_described(job.description, dict(job.conditions)).to(job.device)
    return _make_call(network, job, photo_images(job.batch, *job.size).to(job.device))


def _make_call(network: Restorer, job: NetworkJob, x: Tensor) -> Callable[[], Tensor]:
    def forward() -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=job.dtype == "bfloat16"):
            return network(x)

    if job.mode == "forward":
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


@dataclass(frozen=True)
class LatencyJob:
    """A network to be timed beside another one.

    Attributes:
        job: the network.
        baseline: what its time is relative to; itself where there is nothing else.
        same_function: whether both compute the same, so that their outputs must agree.
        budget_s: seconds after which the rounds stop.
    """

    job: NetworkJob
    baseline: NetworkJob
    same_function: bool
    budget_s: float


def measure_network_latency(job: LatencyJob) -> NetworkLatency:
    """Time of a network beside its baseline; runs in a fresh process.

    Raises:
        WrongOutputError: for an output that is not finite, or not the baseline's where it must be.
    """
    pin_allocator(reuse=True)
    jobs = dict.fromkeys((job.baseline, job.job))
    calls = {described.description: make_network_call(described) for described in jobs}
    outputs = {name: call() for name, call in calls.items()}
    own = outputs[job.job.description]
    difference = _check_output(own, outputs[job.baseline.description], job)
    digest = digest_tensors(own)
    del outputs, own  # they would stay in memory beside those of the rounds
    timings = measure_latency(
        calls,
        job.baseline.description,
        budget_s=job.budget_s,
        min_rounds=_LEAST_ROUNDS,
        max_rounds=200,
        seed=job.job.seed,
    )
    summary = summarize(timings, job.job.description)
    return NetworkLatency(**summary, output=digest, difference=difference)


def _check_output(own: Tensor, baseline: Tensor, job: LatencyJob) -> float | None:
    """The relative difference of the outputs, where there must be none."""
    if not torch.isfinite(own).all():
        raise WrongOutputError(f"{job.job.description}: the output is not finite")
    if not job.same_function:
        return None
    difference = ((own - baseline).abs().max() / baseline.abs().max()).item()
    allowed = _MOST_DIFFERENCE[job.job.dtype]
    if not difference <= allowed:
        raise WrongOutputError(
            f"{job.job.description}: the output differs from that of "
            f"{job.baseline.description} by {difference:.2g} of its largest value, "
            f"{allowed:g} allowed"
        )
    return difference


def measure_network_memory(job: NetworkJob) -> PeakMemory:
    """Peak memory of one call beyond parameters and optimizer state; runs in a fresh process."""
    pin_allocator(reuse=False)
    call = make_network_call(job)
    # The first step makes the optimizer's state, and the first call of all loads libraries.
    call()
    return (measure_device_peak if job.device else measure_peak)(call)
