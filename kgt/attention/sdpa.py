"""`sdpa`: torch's fused attention with the graph as an additive bias.

What a good PyTorch user would write without a kernel of their own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kgt.attention.bias import dense_bias
from kgt.attention.cost import missing_dims, sdpa_cost
from kgt.attention.graph import KeyGraph
from kgt.attention.registry import Backend


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
    return attend_densely(q, k, v, mask, scale)


def attend_densely(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Torch's fused attention to all N keys, [W, H, N, D], with an additive mask or None.

    On GPUs a vector of D elements that does not fill whole words of 16 bytes makes torch fall back
    to plain products, which keep N x N scores, so there D is padded with zeros.
    """
    dim = q.shape[-1]
    if missing := missing_dims(dim, q.dtype, q.device.type):
        q, k, v = (F.pad(t, (0, missing)) for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)[..., :dim]


BACKEND = Backend("sdpa", attend, sdpa_cost, priority=0)
