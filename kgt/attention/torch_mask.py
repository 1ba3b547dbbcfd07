"""`torch-mask`: dense scores, minus infinity outside the graph (the paper's training choice)."""

from __future__ import annotations

import torch
from torch import Tensor

from kgt.attention.backend import Backend
from kgt.attention.bias import dense_bias
from kgt.attention.call import AttentionCall, AttentionShape
from kgt.attention.cost import Cost, dense_bias_bytes, dense_flops, index_bytes, mask_bytes


def attend(call: AttentionCall) -> Tensor:
    """Attention through an [N, N] mask scattered from the indices; memory is flat in k.

    The mask comes from the indices and not from a threshold on the similarity, which would let
    ties in. The scores are updated in place: a product needs its inputs for the backward pass,
    not its result.
    """
    outside = call.graph.to_mask().logical_not_()[:, None]
    scores = (call.q * call.scale) @ call.k.mT
    if call.bias is not None:
        scores += dense_bias(call.bias.to(call.q.dtype), call.graph.nodes)
    return scores.masked_fill_(outside, -torch.inf).softmax(-1) @ call.v


def cost(shape: AttentionShape) -> Cost:
    """Scores and probabilities [W, H, N, N], independent of k but for the indices."""
    pairs = shape.queries * shape.heads * shape.nodes * shape.dtype.itemsize
    scatter = mask_bytes(shape) + index_bytes(shape)
    softmax = mask_bytes(shape) + 2 * pairs
    biased = dense_bias_bytes(shape) + pairs
    return Cost(dense_flops(shape), max(scatter, softmax, biased))


BACKEND = Backend("torch-mask", attend, cost)
