"""`triton`: a kernel that gathers keys and values on the fly (the paper's third implementation).

It keeps nothing but the output, and has no backward pass yet.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor

from kgt.attention.cost import triton_cost
from kgt.attention.registry import Backend
from kgt.graph import KeyGraph
from kgt.position import window_of

BLOCK_K = 32
# Triton's interpreter runs kernels on CPU tensors, slowly; it is for tests of correctness.
_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def padded_head_dim(head_dim: int) -> int:
    """The power of two, at least 16, that a head's vector is padded to in the kernel."""
    return max(16, 1 << (head_dim - 1).bit_length())


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    graph: KeyGraph,
    bias: Tensor | None,
    scale: float,
    byte_budget: int | None,
) -> Tensor:
    """Attention of each query over its gathered keys; no [N, K] array is kept."""
    from kgt.attention.triton_kernels import gather_attention_forward

    windows, heads, nodes, head_dim = q.shape
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    gather_attention_forward[nodes, heads, windows](
        q,
        k,
        v,
        graph.indices.contiguous(),
        q if bias is None else bias.contiguous(),
        out,
        *q.stride(),
        *k.stride(),
        *v.stride(),
        heads,
        nodes,
        graph.k,
        scale,
        HEAD_DIM=head_dim,
        PADDED_DIM=padded_head_dim(head_dim),
        WINDOW=0 if bias is None else window_of(nodes),
        BLOCK_K=BLOCK_K,
    )
    return out


BACKEND = Backend(
    "triton",
    attend,
    triton_cost,
    devices=("cpu", "cuda") if _INTERPRETED else ("cuda",),
    dtypes=(torch.float32, torch.bfloat16, torch.float16),
    backward=False,
    package="triton",
)
