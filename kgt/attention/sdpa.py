"""`sdpa`: torch's fused attention with the graph as an additive bias.

What a good PyTorch user would write without a kernel of their own.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from kgt.attention.backend import Backend
from kgt.attention.bias import dense_bias
from kgt.attention.call import AttentionCall, AttentionShape
from kgt.attention.cost import Cost, dense_bias_bytes, dense_flops, index_bytes, output_bytes


def attend(call: AttentionCall) -> Tensor:
    """Attention with position bias and graph in one additive mask [W, 1 or H, N, N]."""
    q, graph, mask = call.q, call.graph, None
    if not _is_complete(call.shape):
        mask = q.new_full((graph.windows, 1, graph.nodes, graph.nodes), -torch.inf)
        mask.scatter_(-1, graph.safe_indices()[:, None], 0.0)
    if call.bias is not None:
        dense = dense_bias(call.bias.to(q.dtype), graph.nodes)
        mask = dense[None] if mask is None else dense + mask
    return attend_densely(q, call.k, call.v, mask, call.scale)


def _is_complete(shape: AttentionShape) -> bool:
    """Whether the graph connects all pairs."""
    return shape.k == shape.nodes and not shape.has_padding


def attend_densely(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """Torch's fused attention to all N keys, [W, H, N, D], with an additive mask or None.

    On GPUs a vector of D elements that does not fill whole words of 16 bytes makes torch fall back
    to plain products, which keep N x N scores, so there D is padded with zeros.
    """
    dim = q.shape[-1]
    if torch.compiler.is_exporting():
        # What exporters make of the fused operator has other strides than it itself.
        scores = q * scale @ k.mT
        return (scores if mask is None else scores + mask).softmax(-1) @ v
    if missing := _missing_dims(dim, q.dtype, q.device.type):
        q, k, v = (F.pad(t, (0, missing)) for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)[..., :dim]


def _missing_dims(dim: int, dtype: torch.dtype, device: str) -> int:
    """By how much torch's fused kernels for GPUs want a head dimension padded."""
    return 0 if device == "cpu" else -dim % (16 // dtype.itemsize)


def cost(shape: AttentionShape) -> Cost:
    """The additive mask [W, 1 or H, N, N]; the fused kernel itself keeps no [N, N] array.

    The kernel computes all pairs, whatever the mask says.
    """
    fused = dense_cost(shape)
    if _is_complete(shape):
        return Cost(fused.flops, max(dense_bias_bytes(shape), fused.peak_bytes))
    pairs = shape.queries * shape.nodes * shape.dtype.itemsize
    combined = pairs * shape.heads if shape.has_bias else 0
    held = max(index_bytes(shape), dense_bias_bytes(shape) + combined, fused.peak_bytes)
    return Cost(fused.flops, pairs + held)


def dense_cost(shape: AttentionShape) -> Cost:
    """`attend_densely` without a mask: the output, and q, k, v where D is padded; no scores."""
    missing = _missing_dims(shape.head_dim, shape.dtype, shape.device)
    padded = output_bytes(replace(shape, head_dim=shape.head_dim + missing))
    return Cost(dense_flops(shape), 4 * padded if missing else padded)


BACKEND = Backend("sdpa", attend, cost, priority=0)
