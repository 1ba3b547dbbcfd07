"""Ways to build the graph, and whether they select the k most similar tokens."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kgt import build_key_graph
from kgt.errors import unknown

Builder = Callable[[Tensor, int], Tensor]


def _build_by_topk(tokens: Tensor, k: int) -> Tensor:
    """What one writes first: all similarities, then torch.topk; ties fall as they may."""
    return torch.topk(tokens @ tokens.mT, min(k, tokens.shape[1])).indices


def _build_by_kgt(tokens: Tensor, k: int) -> Tensor:
    return build_key_graph(tokens, k).indices


BUILDERS: dict[str, Builder] = {"matmul-topk": _build_by_topk, "kgt": _build_by_kgt}


def choose_builders(names: list[str]) -> dict[str, Builder]:
    """Builders by name.

    Raises:
        ValueError: for an unknown name, listing the valid ones.
    """
    for name in names:
        if name not in BUILDERS:
            raise unknown("builder", name, BUILDERS)
    return {name: BUILDERS[name] for name in names}


@torch.no_grad()
def count_wrong_rows(tokens: Tensor, k: int, indices: Tensor) -> int:
    """Rows of a graph that are not the k most similar nodes.

    Similarities are taken anew in float64. A row is right if none of its keys is less similar than
    a node left out by more than rounding can turn around: two sums of C products, each wrong by
    C ulp of the product of the norms at most. Within that, any choice is right, ties included.

    Args:
        tokens: floating-point [W, N, C].
        k: keys per node; more than N means N.
        indices: integer [W, N, K], in any order.
    """
    nodes, channels = tokens.shape[1:]
    exact = tokens.double()
    similarity = exact @ exact.mT
    norms = exact.norm(dim=-1)
    ulp = torch.finfo(tokens.dtype).eps
    rounding = 2 * channels * ulp * norms * norms.amax(-1, keepdim=True)
    index = indices.long()
    if index.shape != (*similarity.shape[:2], min(k, nodes)) or not (index >= 0).all():
        return similarity[..., 0].numel()
    chosen = torch.zeros_like(similarity, dtype=torch.bool).scatter_(-1, index, True)
    least_chosen = similarity.masked_fill(~chosen, torch.inf).amin(-1)
    most_left_out = similarity.masked_fill(chosen, -torch.inf).amax(-1)
    repeated = chosen.sum(-1) != index.shape[-1]
    return int((repeated | (least_chosen + rounding < most_left_out)).sum())
