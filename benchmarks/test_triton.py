"""The Triton kernels beside dense, masked and flexible attention on a GPU, on photographs' graphs.

Each group is one problem; pytest-benchmark prints every contender's ratio to the group's fastest.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from benchmarks.measure.problems import photo_tokens
from kgt import KeyGraph, build_key_graph
from kgt.attention import AttentionCall, get_backend
from kgt.attention.sdpa import attend_densely
from kgt.attention.triton.backend import KERNELS, attend_with

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
WINDOWS, HEADS, NODES, DIM = 64, 6, 1024, 30  # of an image of 256 x 256
SCALE = DIM**-0.5
ONLY_FORWARD = ("flex",)
CONTENDERS = ("dense", "sdpa", "flex", *KERNELS)


def make_attention(name: str, graph: KeyGraph) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    if name == "dense":
        return partial(attend_densely, mask=None, scale=SCALE)
    attend = partial(attend_with, name) if name in KERNELS else get_backend(name).attend
    return lambda q, k, v: attend(AttentionCall.describe(q, k, v, graph))


@pytest.mark.parametrize("mode", ["forward", "backward"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("k", [64, 128, 256, 512])
@pytest.mark.parametrize("contender", CONTENDERS)
def test_kernels(
    benchmark: BenchmarkFixture, contender: str, k: int, dtype: torch.dtype, mode: str
) -> None:
    if mode == "backward" and contender in ONLY_FORWARD:
        pytest.skip(f"{contender} is run forward only")
    graph = build_key_graph(photo_tokens(WINDOWS, NODES, 0).cuda(), k)
    attend = make_attention(contender, graph)
    projected = torch.randn(WINDOWS, NODES, 3, HEADS, DIM, device="cuda", dtype=dtype)
    q, key, v = projected.permute(2, 0, 3, 1, 4).requires_grad_(mode == "backward").unbind()

    def call() -> None:
        out = attend(q, key, v)
        if mode == "backward":
            torch.autograd.grad(out.sum(), (q, key, v))
        torch.cuda.synchronize()

    benchmark.group = f"{mode}-{dtype}-k{k}".replace("torch.", "")
    benchmark.extra_info["device"] = torch.cuda.get_device_name()
    benchmark.pedantic(call, rounds=30, warmup_rounds=5)
