"""`reference`: the specification, one window and one head at a time.

KGT (arXiv 2402.02634): Eq. 2 restricts the keys of a token to its neighbors in the graph, the
attention over them is softmax(Q K_sel^T / sqrt(d)) V_sel. In float64 this is what every other
backend is tested against; it is never timed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kgt.attention.bias import neighbor_bias, window_of
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
    """Attention of each query over its own keys; shapes as `key_graph_attention`."""
    windows, heads, nodes, _ = q.shape
    queries = torch.arange(nodes, device=q.device)[:, None]
    valid = graph.valid()
    outputs = []
    for w in range(windows):
        keys = graph.safe_indices()[w]
        for h in range(heads):
            scores = scale * (q[w, h][:, None] * k[w, h][keys]).sum(-1)
            if bias is not None:
                table = bias[h : h + 1].to(q.dtype)
                scores = scores + neighbor_bias(table, queries, keys, window_of(nodes))[0]
            if valid is not None:
                scores = scores.masked_fill(~valid[w], -torch.inf)
            outputs.append((scores.softmax(-1)[..., None] * v[w, h][keys]).sum(-2))
    return torch.stack(outputs).unflatten(0, (windows, heads))


BACKEND = Backend("reference", attend)
