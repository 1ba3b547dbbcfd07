"""Forward passes of whole networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from baselines.catalog import create_any_model
from benchmarks.records.cell import BenchmarkCell

MODELS: dict[str, dict[str, Any]] = {
    "kgt-tiny-x4": {},
    "kgt-tiny-x4-dense": {},
    "swinir-tiny-x4": {},
    "kgt-s-x4": {"k": 128},
    "kgt-s-x4-dense": {},
    "swinir-m-x4": {},
    "swinir-upstream-m-x4": {},
}
SIZE = (64, 64)


@pytest.mark.parametrize("name", MODELS)
def test_forward(name: str, measure: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    network = create_any_model(name, **MODELS[name]).eval()
    x = torch.rand(1, 3, *SIZE)
    cell = BenchmarkCell(kind="latency", task="sr-x4", model=name, mode="forward", dtype="float32")
    with torch.inference_mode():
        y = measure(cell, partial(network, x))
    assert y.shape == (1, 3, 4 * SIZE[0], 4 * SIZE[1])
    assert torch.isfinite(y).all()
