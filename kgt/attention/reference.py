"""`reference`: the specification, one window and one head at a time.

KGT (arXiv 2402.02634): Eq. 2 restricts a token to its keys in the graph; the
attention over them is softmax(Q K_sel^T / sqrt(d)) V_sel. In float64 this is what every other
backend is tested against; it is never timed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kgt.attention.backend import Backend
from kgt.attention.bias import pair_bias, window_of
from kgt.attention.call import AttentionCall


def attend(call: AttentionCall) -> Tensor:
    """Attention of each query over its own keys."""
    q, k, v, graph = call.q, call.k, call.v, call.graph
    queries = torch.arange(graph.nodes, device=q.device)[:, None]
    valid = graph.valid()
    outputs = []
    for w in range(graph.windows):
        keys = graph.safe_indices()[w]
        for h in range(q.shape[1]):
            scores = call.scale * (q[w, h][:, None] * k[w, h][keys]).sum(-1)
            if call.bias is not None:
                table = call.bias[h : h + 1].to(q.dtype)
                scores = scores + pair_bias(table, queries, keys, window_of(graph.nodes))[0]
            if valid is not None:
                scores = scores.masked_fill(~valid[w], -torch.inf)
            outputs.append((scores.softmax(-1)[..., None] * v[w, h][keys]).sum(-2))
    return torch.stack(outputs).unflatten(0, q.shape[:2])


BACKEND = Backend("reference", attend)
