"""Whole networks on photographs: forward passes and training steps, their time and peak memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from benchmarks.measure.memory import PeakMemory, measure_peak, pin_allocator
from benchmarks.measure.problems import photo_images
from benchmarks.models import create_any_model


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
    """

    description: str
    size: tuple[int, int]
    dtype: Literal["float32", "bfloat16"] = "float32"
    mode: Literal["forward", "train-step"] = "forward"
    batch: int = 1
    seed: int = 0


def create_described(description: str) -> nn.Module:
    """A model from NAME:field=value:field=value; "spandrel:" may precede a published network's.

    Raises:
        ValueError: for an unknown name or field, or a field without a value.
    """
    name, *fields = description.removeprefix("spandrel:").split(":")
    overrides = {}
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals:
            raise ValueError(f"{description!r}: expected NAME:field=value, got {field!r}")
        overrides[key] = yaml.safe_load(value)
    return create_any_model(name, **overrides)


def make_network_call(job: NetworkJob) -> Callable[[], Tensor]:
    """The call that is measured: it returns the output, or the loss before the step.

    Raises:
        ValueError: as `create_described`.
    """
    torch.manual_seed(job.seed)
    # The time of a key-graph network depends on what its graphs share: noise would hide that.
    return _make_call(create_described(job.description), job, photo_images(job.batch, *job.size))


def _make_call(network: nn.Module, job: NetworkJob, x: Tensor) -> Callable[[], Tensor]:
    def forward() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=job.dtype == "bfloat16"):
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


def measure_network_memory(job: NetworkJob) -> PeakMemory:
    """Peak memory of one call beyond parameters and optimizer state; runs in a fresh process."""
    pin_allocator(reuse=False)
    call = make_network_call(job)
    # The first step makes the optimizer's state, and the first call of all loads libraries.
    call()
    return measure_peak(call)
