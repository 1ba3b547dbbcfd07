"""`triton`: kernels for GPUs, forward and backward (in `gather` and `tile`).

The gather kernel reads the rows of each query's keys; the tile kernel does 32 neighboring queries
by matrix products over the union of their keys, with a bit per pair. Gradients of keys and values
are summed per key, over the inverse graph, never by atomics: they repeat bit by bit. So does the
bias gradient of the gather kernel; that of the tile kernel is summed by atomics, and under
`torch.use_deterministic_algorithms` the gather kernel takes that pass over.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from kgt.attention.backend import Backend
from kgt.attention.call import AttentionCall, AttentionShape
from kgt.attention.cost import Cost, logsumexp_bytes, output_bytes, sparse_flops
from kgt.attention.key_graph import KeyGraph
from kgt.attention.operators import (
    Gradient,
    Operator,
    call_operator,
    count_backward_flops,
    count_forward_flops,
    empty_gradients,
    empty_results,
    reasons_of_size,
)
from kgt.attention.triton.launch import Launches
from kgt.attention.triton.tiling import (
    SLOTS,
    TILE,
    Inverse,
    Keys,
    Tiles,
    invert,
    tile_keys,
    tile_queries,
)
from kgt.errors import unknown

MAX_HEAD_DIM = 64
MAX_NODES = 32_768  # N * K, and offsets in a union, stay below 2^31
# Tiles of float32 go where their unions hold fewer than this many times k keys: on an H100 a key
# that a query gathers takes a training step as long as a union's key takes a tile on average.
TILE_UNION = 10.0
GATHERED_AT_ONCE = 32  # fewer keys gathered are no faster
KERNELS = ("gather", "tile")
# Triton's interpreter runs kernels on CPU tensors, slowly; it is for tests of correctness.
_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def attend(call: AttentionCall) -> Tensor:
    """Attention by the kernel that fits the graph; the result's memory is [W, N, H, D]."""
    return attend_with(choose_kernel(call.graph, call.shape.dtype), call)


def choose_kernel(graph: KeyGraph, dtype: torch.dtype) -> str:
    """The name of the kernel: tiles where neighboring queries share enough of their keys.

    In 16 bits they always do: products cost a tenth, and at most 32 queries share nothing.
    """
    return graph.derive(_choose_in_float32) if dtype == torch.float32 else "tile"


def _choose_in_float32(graph: KeyGraph) -> str:
    counts = graph.derive(tile_keys).counts
    gathered = max(graph.k, GATHERED_AT_ONCE)
    if float(counts.float().mean()) < TILE_UNION * gathered:
        return "tile"
    del graph.derived[tile_keys]
    return "gather"


def attend_with(kernel: str, call: AttentionCall) -> Tensor:
    """Attention by a kernel named in KERNELS; the rest as `attend`."""
    if kernel not in KERNELS:
        raise unknown("kernel", kernel, KERNELS)
    graph = call.graph
    tiles = graph.derive(tile_keys) if kernel == "tile" else ()
    backward: Inverse | Tiles | tuple[()] = ()
    if call.shape.requires_grad:
        backward = graph.derive(invert) if kernel == "gather" else graph.derive(tile_queries)
    table = None if call.bias is None else call.bias.float().contiguous()
    derived = (graph.indices.contiguous(), [*tiles], [*backward])
    tensors = (call.q, call.k, call.v, *derived, table)
    out: Tensor = call_operator(_Forward, *tensors, call.scale)[0]
    # The gradient needs the output as it is, and the caller may write into this one.
    return out.clone() if call.shape.requires_grad else out


@torch.library.custom_op("kgt::triton_forward", mutates_args=())
def triton_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    indices: Tensor,
    tiles: list[Tensor],
    backward: list[Tensor],
    bias: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Out and log-sum-exp, by tiles if there are any; `backward` is kept for the gradients."""
    graph = Tiles(*tiles) if tiles else Keys(indices)
    launch, out, logsumexp = Launches(q, k, v, bias, scale).forward(graph)
    launch.run()
    return out, logsumexp


@torch.library.custom_op("kgt::triton_backward", mutates_args=())
def triton_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    indices: Tensor,
    tiles: list[Tensor],
    backward: list[Tensor],
    bias: Tensor | None,
    out: Tensor,
    logsumexp: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of queries, keys, values and table, the last one empty without a table."""
    launches = Launches(q, k, v, bias, scale)
    in_order = bias is not None and torch.are_deterministic_algorithms_enabled()
    keys = Tiles(*tiles) if tiles and not in_order else Keys(indices)
    launch, delta, grad_q, tables = launches.backward_queries(keys, grad, out, logsumexp)
    launch.run()
    queries = Tiles(*backward) if tiles else Inverse(*backward)
    launch, grad_k, grad_v = launches.backward_keys(queries, grad, logsumexp, delta)
    launch.run()
    table = logsumexp.new_empty(0) if tables is None else tables.sum(0)
    return grad_q, grad_k, grad_v, table


def _fake_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    indices: Tensor,
    tiles: list[Tensor],
    backward: list[Tensor],
    bias: Tensor | None,
    *_: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return empty_gradients(q, bias)


class _Backward(Gradient):
    name = "triton_backward"

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return triton_backward(*arguments)


class _Forward(Operator):
    name = "triton_forward"

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return triton_forward(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        q, k, v, indices, tiles, backward, bias, scale = inputs
        ctx.save_for_backward(q, k, v, indices, bias, *output, *tiles, *backward)
        ctx.tiles, ctx.backward_graph, ctx.scale = len(tiles), len(backward), scale

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Any, ...]:
        q, k, v, indices, bias, out, logsumexp, *graph = ctx.saved_tensors
        tiles, backward = graph[: ctx.tiles], graph[ctx.tiles :]
        tensors = grad, q, k, v, indices, tiles, backward, bias, out, logsumexp
        grad_q, grad_k, grad_v, table = call_operator(_Backward, *tensors, ctx.scale)
        return grad_q, grad_k, grad_v, None, None, None, None if bias is None else table, None

    @classmethod
    def registered_backward(cls, ctx: Any, *grads: Any) -> tuple[Any, ...]:
        *qkv, indices, _, _, table, scale = cls.backward(ctx, *grads)
        none_of = [None] * ctx.tiles, [None] * ctx.backward_graph
        return *qkv, indices, *none_of, table, scale


_Forward.register(empty_results, count_forward_flops)
_Backward.register(_fake_backward, count_backward_flops)


def cost(shape: AttentionShape) -> Cost:
    """Output and log-sum-exp, or what it takes to tile the graph, once for all layers of a stage.

    Tiles of 32 queries have a word and a key for each token of their union, here as large as a
    window, rounded up to 64. Making them takes an int64 and an int32 for every edge (two int64 and
    a bool while padding is replaced), then sorts the words. Pairs of a tile that are no edges are
    left out of the FLOPs.
    """
    int64, int32, boolean = torch.int64.itemsize, torch.int32.itemsize, torch.bool.itemsize
    tiles = shape.windows * -(-shape.nodes // TILE)
    words = tiles * shape.nodes
    unions = tiles * -(-shape.nodes // SLOTS) * SLOTS
    per_edge = 2 * int64 + boolean if shape.has_padding else int64 + int32
    edges = shape.queries * shape.k * per_edge + words * int32
    # Words, whether they are occupied, the order; then union and words picked, and both padded.
    sorting = words * (int32 + boolean + int64 + 2 * int32) + unions * 2 * int32
    kept = unions * 2 * int32 + output_bytes(shape) + logsumexp_bytes(shape)
    return Cost(sparse_flops(shape), max(edges, sorting, kept))


def _limits(shape: AttentionShape) -> list[str]:
    return reasons_of_size(shape, MAX_HEAD_DIM, MAX_NODES)


BACKEND = Backend(
    "triton",
    attend,
    cost,
    devices=("cpu", "cuda") if _INTERPRETED else ("cuda",),
    dtypes=(torch.float32, torch.bfloat16, torch.float16),
    package="triton",
    # On an H100 `sdpa` is faster only in 16 bits, with a backward pass and without a position bias.
    priority=1,
    exportable=False,
    limits=_limits,
)
