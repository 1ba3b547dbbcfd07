"""`torch-mask`: dense scores, minus infinity outside the graph (the paper's training choice)."""

from __future__ import annotations

import torch
from torch import Tensor

from kgt.attention.bias import dense_bias
from kgt.attention.cost import torch_mask_cost
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
    """Attention through an [N, N] mask scattered from the indices; memory is flat in k.

    The mask comes from the indices and not from a threshold on the similarity, which would let
    ties in. The scores are updated in place: a product needs its inputs for the backward pass,
    not its result.
    """
    outside = graph.to_mask().logical_not_()[:, None]
    scores = (q * scale) @ k.mT
    if bias is not None:
        scores += dense_bias(bias.to(q.dtype), graph.nodes)
    return scores.masked_fill_(outside, -torch.inf).softmax(-1) @ v


BACKEND = Backend("torch-mask", attend, torch_mask_cost)
