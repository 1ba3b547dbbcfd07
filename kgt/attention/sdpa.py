"""`sdpa`: torch's fused attention with the graph as an additive bias.

What a good PyTorch user would write without a kernel of their own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kgt.attention.cost import sdpa_cost
from kgt.attention.registry import Backend
from kgt.graph import KeyGraph
from kgt.position import dense_bias


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    graph: KeyGraph,
    bias: Tensor | None,
    scale: float,
    byte_budget: int | None,
) -> Tensor:
    """Attention with position bias and graph in one additive mask [W, 1 or H, N, N]."""
    mask = None
    if graph.k < graph.nodes or graph.degrees is not None:
        mask = q.new_full((graph.windows, 1, graph.nodes, graph.nodes), -torch.inf)
        mask.scatter_(-1, graph.safe_indices()[:, None], 0.0)
    if bias is not None:
        dense = dense_bias(bias.to(q.dtype), graph.nodes)
        mask = dense[None] if mask is None else dense + mask
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


BACKEND = Backend("sdpa", attend, sdpa_cost, priority=0)
