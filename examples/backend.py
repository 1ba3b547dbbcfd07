"""`torch-loop`: dense scores of one window at a time, minus infinity outside the graph."""

import torch
from torch import Tensor

from kgt.attention.backend import Backend
from kgt.attention.bias import dense_bias
from kgt.attention.call import AttentionCall, AttentionShape
from kgt.attention.cost import Cost, dense_flops


def attend(call: AttentionCall) -> Tensor:
    """Attention through a mask [N, N] per window; memory does not grow with the windows."""
    outside = ~call.graph.to_mask()
    windows = []
    for q, k, v, mask in zip(call.q, call.k, call.v, outside, strict=True):
        scores = (q * call.scale) @ k.mT
        if call.bias is not None:
            scores = scores + dense_bias(call.bias.to(q.dtype), call.graph.nodes)
        windows.append(scores.masked_fill(mask, -torch.inf).softmax(-1) @ v)
    return torch.stack(windows)


def cost(shape: AttentionShape) -> Cost:
    """FLOPs of all scores; bytes of the scores and probabilities of one window [H, N, N]."""
    scores = shape.heads * shape.nodes * shape.nodes * shape.dtype.itemsize
    return Cost(dense_flops(shape), 2 * scores)


BACKEND = Backend("torch-loop", attend, cost)
