"""`torch-gather`: gather the keys and values of the graph, then attend (the paper's second)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from kgt.attention.backend import Backend
from kgt.attention.bias import pair_bias, window_of
from kgt.attention.call import AttentionCall, AttentionShape
from kgt.attention.cost import Cost, output_bytes, sparse_flops


def attend(call: AttentionCall) -> Tensor:
    """Attention over gathered rows, a chunk of queries at a time.

    The paper's implementation is one chunk (`byte_budget=0`), so its memory grows with k. With a
    budget a chunk is as long as the budget allows, and where gradients are wanted each chunk is
    gathered again in the backward pass instead of being kept.
    """
    shape = call.shape
    rows = chunk_rows(shape)
    queries = call.q.transpose(1, 2).reshape(shape.queries, shape.heads, shape.head_dim)
    keys, values = (t.reshape(-1, shape.head_dim) for t in (call.k, call.v))
    recompute = shape.requires_grad and rows < shape.queries
    outputs = []
    for start in range(0, shape.queries, rows):
        arguments = (call, queries[start : start + rows], keys, values, start)
        if recompute:
            outputs.append(checkpoint(_attend_rows, *arguments, use_reentrant=False))
        else:
            outputs.append(_attend_rows(*arguments))
    out = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return out.unflatten(0, (shape.windows, shape.nodes)).transpose(1, 2)


def _attend_rows(
    call: AttentionCall, queries: Tensor, keys: Tensor, values: Tensor, start: int
) -> Tensor:
    """Attend for the queries [c, H, D] of rows start .. start + c of the flattened [W * N].

    Keys and values are flattened, too: [W * H * N, D].
    """
    count, heads, head_dim = queries.shape
    nodes = call.shape.nodes
    row = torch.arange(start, start + count, device=queries.device)
    chosen = call.graph.indices.flatten(0, 1)[start : start + count]
    padding = chosen < 0 if call.shape.has_padding else None
    if padding is not None:
        chosen = torch.where(padding, chosen[:, :1], chosen)
    head = torch.arange(heads, device=queries.device)
    first = (row // nodes)[:, None] * heads + head
    flat = (first[..., None] * nodes + chosen[:, None]).flatten()

    gathered = keys.index_select(0, flat).view(count * heads, -1, head_dim)
    scores = torch.bmm(gathered, (queries * call.scale).reshape(-1, head_dim, 1))
    del gathered  # the values need its place
    scores = scores.view(count, heads, -1)
    if call.bias is not None:
        table = call.bias.to(queries.dtype)
        offsets = pair_bias(table, (row % nodes)[:, None], chosen, window_of(nodes))
        scores += offsets.transpose(0, 1)
    if padding is not None:
        scores.masked_fill_(padding[:, None], -torch.inf)
    scores = scores.softmax(-1).view(count * heads, 1, -1)
    gathered = values.index_select(0, flat).view(count * heads, -1, head_dim)
    return torch.bmm(scores, gathered).view(count, heads, head_dim)


def chunk_rows(shape: AttentionShape) -> int:
    """Queries (rows of the flattened [W * N]) that are taken at a time, at least 1."""
    budget = _default_budget(shape) if shape.byte_budget is None else shape.byte_budget
    # The number of chunks of an exported call would be that of its example.
    if budget == 0 or torch.compiler.is_exporting():
        return shape.queries
    return min(shape.queries, max(1, budget // _bytes_per_row(shape)))


def _default_budget(shape: AttentionShape) -> int:
    """Small enough on a CPU that the allocator hands the same memory to every chunk.

    glibc maps blocks above 32 MiB anew each time, and their page faults cost more than the
    gathering. With gradients every chunk is computed twice, so there the chunks are large.
    """
    small = shape.device == "cpu" and not shape.requires_grad
    return (16 if small else 256) * 2**20


def _bytes_per_row(shape: AttentionShape) -> int:
    """Bytes held for one query while its values are gathered: indices, weights, values, bias."""
    floats = 1 + shape.head_dim + shape.has_bias
    per_pair = torch.int64.itemsize + floats * shape.dtype.itemsize
    return shape.k * shape.heads * per_pair


def cost(shape: AttentionShape) -> Cost:
    """Gathered keys or values [W * N, H, K, D] of one chunk; grows with k when the budget is 0."""
    held = chunk_rows(shape) * _bytes_per_row(shape)
    return Cost(sparse_flops(shape), held + output_bytes(shape))


BACKEND = Backend("torch-gather", attend, cost)
