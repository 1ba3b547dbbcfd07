"""What operators of compiled kernels share: memory for results, FLOPs, limits of size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kgt.attention.call import AttentionShape


def empty_merged(q: Tensor) -> Tensor:
    """Uninitialized [W, H, N, D], whose memory is [W, N, H, D], ready to be merged."""
    windows, heads, nodes, dim = q.shape
    return q.new_empty(windows, nodes, heads, dim).transpose(1, 2)


def empty_per_query(q: Tensor) -> Tensor:
    """Uninitialized float32 [W, H, N]."""
    return q.new_empty(q.shape[:3], dtype=torch.float32)


def empty_results(q: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """Out and log-sum-exp, uninitialized: a forward operator's fake implementation."""
    return empty_merged(q), empty_per_query(q)


def empty_gradients(q: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of queries, keys, values and table, uninitialized; the last empty without one."""
    table = q.new_empty(0, dtype=torch.float32) if bias is None else torch.empty_like(bias)
    return empty_merged(q), empty_merged(q), empty_merged(q), table


def count_forward_flops(q: Any, k: Any, v: Any, indices: Any, *rest: Any, **_: Any) -> int:
    """FLOPs of the pairs of the graph; further pairs that a tile computes are not counted."""
    windows, heads, nodes, dim = q
    return 4 * windows * heads * nodes * indices[2] * dim


def count_backward_flops(
    grad: Any, q: Any, k: Any, v: Any, indices: Any, *rest: Any, **_: Any
) -> int:
    """The scores once more, and the gradients of weights, queries, keys and values."""
    return count_forward_flops(q, k, v, indices) // 2 * 5


def reasons_of_size(shape: AttentionShape, head_dim: int, nodes: int) -> list[str]:
    """Why a shape is too large for kernels with these limits; empty when it is not."""
    reasons = []
    if shape.head_dim > head_dim:
        reasons.append(f"takes a head dimension of at most {head_dim}, not {shape.head_dim}")
    if shape.nodes > nodes:
        reasons.append(f"takes at most {nodes:,} tokens in a window, not {shape.nodes:,}")
    return reasons
