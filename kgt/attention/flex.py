"""`flex`: torch's FlexAttention, with its mask and scores read from the graph.

Compiled once for every shape, element type and thread count, which takes seconds, and never run
uncompiled: that would be `torch-mask` under another name. The compiled CPU kernel has no backward
pass (torch 2.14); shapes left dynamic do not compile there, hence one kernel per shape.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from kgt.attention.backend import Backend
from kgt.attention.bias import window_of
from kgt.attention.call import AttentionCall, AttentionShape
from kgt.attention.cost import Cost, dense_flops, index_bytes, mask_bytes, output_bytes
from kgt.attention.key_graph import KeyGraph

BLOCK = 128
# Dynamo gives up on a function after 8 kernels; one network may attend in more shapes than that.
_MOST_KERNELS = 256


def attend(call: AttentionCall) -> Tensor:
    """Attention over the blocks of 128 x 128 pairs that hold an edge of the graph."""
    q, k, v, bias = call.q, call.k, call.v, call.bias
    mask = call.graph.derive(block_mask)
    score_mod = None if bias is None else _add_bias(bias.to(q.dtype), window_of(call.graph.nodes))
    with torch._dynamo.config.patch(recompile_limit=_MOST_KERNELS):
        return _compiled()(q, k, v, score_mod, mask, call.scale)


@cache
def _compiled() -> Callable[..., Tensor]:
    """FlexAttention, compiled at the first call of each shape; a graph break is an error."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False, fullgraph=True)


def block_mask(graph: KeyGraph) -> Any:
    """The graph as FlexAttention's BlockMask: the blocks with an edge, and the pairs in them."""
    from torch.nn.attention.flex_attention import BlockMask

    mask = graph.to_mask()
    blocks = -(-graph.nodes // BLOCK)
    keys = graph.safe_indices() // BLOCK
    met = torch.zeros(graph.windows, blocks * BLOCK, blocks, dtype=torch.bool, device=mask.device)
    met[:, : graph.nodes].scatter_(-1, keys, True)
    occupied = met.unflatten(1, (blocks, BLOCK)).any(2)[:, None]

    def has_edge(window: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return mask[window, query, key]

    return BlockMask.from_kv_blocks(
        occupied.sum(-1, dtype=torch.int32),
        occupied.int().argsort(dim=-1, descending=True, stable=True).int(),
        BLOCK_SIZE=BLOCK,
        mask_mod=has_edge,
        seq_lengths=(graph.nodes, graph.nodes),
        compute_q_blocks=False,
    )


def _add_bias(table: Tensor, window: int) -> Callable[..., Tensor]:
    """Look the offset of a pair up in the table [H, 2M-1, 2M-1] and add it to the score."""

    def add(score: Tensor, _: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        dy = query // window - key // window + window - 1
        dx = query % window - key % window + window - 1
        return score + table[head, dy, dx]

    return add


def cost(shape: AttentionShape) -> Cost:
    """The bool mask [W, N, N], kept, and the output; the kernel keeps no [N, N] array.

    Graphs of photographs leave next to no block of 128 x 128 pairs empty, so all pairs count.
    """
    held = max(index_bytes(shape), output_bytes(shape))
    return Cost(dense_flops(shape), mask_bytes(shape) + held)


def _limits(shape: AttentionShape) -> list[str]:
    return _missing() if shape.device == "cpu" else []


@cache
def _missing() -> list[str]:
    """What this machine lacks to compile FlexAttention."""
    reasons = []
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        reasons.append(
            f"is compiled at its first call and needs a C++ compiler: there is no {compiler} "
            "(install one, or name it in CXX)"
        )
    if sys.platform == "darwin" or not torch.backends.cpu.get_cpu_capability().startswith("AVX"):
        reasons.append("needs an x86 processor with AVX2, and not macOS")
    return reasons


BACKEND = Backend(
    "flex",
    attend,
    cost,
    dtypes=(torch.float32, torch.bfloat16, torch.float16),
    backward=False,
    exportable=False,
    limits=_limits,
)
