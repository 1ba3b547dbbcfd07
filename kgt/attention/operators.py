"""What the operators of compiled kernels have in common: results' memory, FLOPs, limits of size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kgt.attention.call import AttentionProblem


def empty_merged(q: Tensor) -> Tensor:
    """Uninitialized [W, H, N, D], whose memory is [W, N, H, D], ready to be merged."""
    windows, heads, nodes, dim = q.shape
    return q.new_empty(windows, nodes, heads, dim).transpose(1, 2)


def empty_per_query(q: Tensor) -> Tensor:
    """Uninitialized float32 [W, H, N]."""
    return q.new_empty(q.shape[:3], dtype=torch.float32)


def count_forward_flops(q: Any, k: Any, v: Any, indices: Any, *rest: Any, **_: Any) -> int:
    """FLOPs of the pairs of the graph; what a tile computes besides them is not counted."""
    windows, heads, nodes, dim = q
    return 4 * windows * heads * nodes * indices[2] * dim


def count_backward_flops(
    grad: Any, q: Any, k: Any, v: Any, indices: Any, *rest: Any, **_: Any
) -> int:
    """The scores once more, and the gradients of weights, queries, keys and values."""
    return count_forward_flops(q, k, v, indices) // 2 * 5


def reasons_of_size(problem: AttentionProblem, head_dim: int, nodes: int) -> list[str]:
    """Why a problem is too large for kernels with these limits; empty when it is not."""
    reasons = []
    if problem.head_dim > head_dim:
        reasons.append(f"takes a head dimension of at most {head_dim}, not {problem.head_dim}")
    if problem.nodes > nodes:
        reasons.append(f"takes at most {nodes:,} tokens in a window, not {problem.nodes:,}")
    return reasons
