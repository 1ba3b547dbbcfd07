"""`torch-gather`: gather the keys and values of the graph, then attend (the paper's second)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from kgt.attention.bias import neighbor_bias, window_of
from kgt.attention.call import describe
from kgt.attention.cost import gather_chunk_rows, torch_gather_cost
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
    """Attention over gathered rows, a chunk of queries at a time.

    The paper's implementation is one chunk (`byte_budget=0`), so its memory grows with k. With a
    budget a chunk is as long as the budget allows, and where gradients are wanted each chunk is
    gathered again in the backward pass instead of being kept.
    """
    windows, heads, nodes, head_dim = q.shape
    problem = describe(q, k, v, graph, bias, byte_budget)
    rows = gather_chunk_rows(problem)
    queries = q.transpose(1, 2).reshape(windows * nodes, heads, head_dim)
    keys, values = k.reshape(-1, head_dim), v.reshape(-1, head_dim)
    recompute = problem.requires_grad and rows < windows * nodes
    outputs = []
    for start in range(0, windows * nodes, rows):
        arguments = (queries[start : start + rows], keys, values, graph, bias, scale, start)
        if recompute:
            outputs.append(checkpoint(_attend_rows, *arguments, use_reentrant=False))
        else:
            outputs.append(_attend_rows(*arguments))
    out = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return out.view(windows, nodes, heads, head_dim).transpose(1, 2)


def _attend_rows(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    graph: KeyGraph,
    bias: Tensor | None,
    scale: float,
    start: int,
) -> Tensor:
    """Attend for the queries [c, H, D] of rows start .. start + c of the flattened [W * N]."""
    count, heads, head_dim = queries.shape
    nodes = graph.nodes
    row = torch.arange(start, start + count, device=queries.device)
    neighbors = graph.indices.flatten(0, 1)[start : start + count]
    padding = neighbors < 0 if graph.degrees is not None else None
    if padding is not None:
        neighbors = torch.where(padding, neighbors[:, :1], neighbors)
    head = torch.arange(heads, device=queries.device)
    first = (row // nodes)[:, None] * heads + head
    flat = (first[..., None] * nodes + neighbors[:, None]).flatten()

    gathered = keys.index_select(0, flat).view(count * heads, -1, head_dim)
    scores = torch.bmm(gathered, (queries * scale).reshape(-1, head_dim, 1))
    del gathered  # the values need its place
    scores = scores.view(count, heads, -1)
    if bias is not None:
        table = bias.to(queries.dtype)
        offsets = neighbor_bias(table, (row % nodes)[:, None], neighbors, window_of(nodes))
        scores += offsets.transpose(0, 1)
    if padding is not None:
        scores.masked_fill_(padding[:, None], -torch.inf)
    scores = scores.softmax(-1).view(count * heads, 1, -1)
    gathered = values.index_select(0, flat).view(count * heads, -1, head_dim)
    return torch.bmm(scores, gathered).view(count, heads, head_dim)


BACKEND = Backend("torch-gather", attend, torch_gather_cost)
