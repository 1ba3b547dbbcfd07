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
from torch.utils.flop_counter import register_flop_formula

from kgt.attention.call import AttentionProblem
from kgt.attention.cost import triton_cost
from kgt.attention.graph import KeyGraph
from kgt.attention.operators import (
    count_backward_flops,
    count_forward_flops,
    empty_merged,
    empty_per_query,
    reasons_of_size,
)
from kgt.attention.registry import Backend
from kgt.attention.triton import launch as launches
from kgt.attention.triton.tiling import Inverse, Tiles, invert, tile_keys, tile_queries

MAX_HEAD_DIM = 64
MAX_NODES = 32_768  # N * K, and offsets in a union, stay below 2^31
# Tiles of float32 go where their unions hold fewer than this many times k keys: on an H100 a key
# that a query gathers takes a training step as long as a union's key takes a tile on average.
TILE_UNION = 10.0
GATHERED_AT_ONCE = 32  # fewer keys gathered are no faster
KERNELS = ("gather", "tile")
# Triton's interpreter runs kernels on CPU tensors, slowly; it is for tests of correctness.
_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    graph: KeyGraph,
    bias: Tensor | None,
    scale: float,
    byte_budget: int | None,
) -> Tensor:
    """Attention by the kernel that fits the graph; the result's memory is [W, N, H, D]."""
    return attend_with(choose_kernel(graph, q.dtype), q, k, v, graph, bias, scale)


def choose_kernel(graph: KeyGraph, dtype: torch.dtype) -> str:
    """The name of the kernel: tiles where neighboring queries share enough of their keys.

    In 16 bits they always do: products cost a tenth, and at most 32 queries share nothing.
    """
    if dtype != torch.float32:
        return "tile"
    if "triton" not in graph.derived:
        counts = _tiles(graph).counts
        gathered = max(graph.k, GATHERED_AT_ONCE)
        shared = float(counts.float().mean()) < TILE_UNION * gathered
        graph.derived["triton"] = "tile" if shared else "gather"
        if not shared:
            del graph.derived["triton-tiles"]
    return graph.derived["triton"]


def attend_with(
    kernel: str,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    graph: KeyGraph,
    bias: Tensor | None,
    scale: float,
) -> Tensor:
    """Attention by a kernel named in KERNELS; the rest as `attend`."""
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}; valid: {', '.join(KERNELS)}")
    inputs = (q, k, v) if bias is None else (q, k, v, bias)
    differentiable = torch.is_grad_enabled() and any(t.requires_grad for t in inputs)
    tiles: Tiles | tuple[()] = _tiles(graph) if kernel == "tile" else ()
    backward = _backward_graph(kernel, graph) if differentiable else ()
    table = None if bias is None else bias.float().contiguous()
    indices = graph.indices.contiguous()
    return triton_forward(q, k, v, indices, [*tiles], [*backward], table, scale)[0]


def _tiles(graph: KeyGraph) -> Tiles:
    if "triton-tiles" not in graph.derived:
        graph.derived["triton-tiles"] = tile_keys(graph)
    return graph.derived["triton-tiles"]


def _backward_graph(kernel: str, graph: KeyGraph) -> Inverse | Tiles:
    """What the gradients of keys and values go by, made once per graph."""
    name = f"triton-{kernel}-backward"
    if name not in graph.derived:
        graph.derived[name] = invert(graph) if kernel == "gather" else tile_queries(graph)
    return graph.derived[name]


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
    if tiles:
        launch, *results = launches.tile_forward(
            q, k, v, Tiles(*tiles), bias, scale, launches.vendor()
        )
    else:
        launch, *results = launches.gather_forward(q, k, v, indices, bias, scale)
    launch.run()
    return results[0], results[1]


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
    saved = (bias, out, logsumexp, scale)
    in_order = bias is not None and torch.are_deterministic_algorithms_enabled()
    if tiles and not in_order:
        launch, delta, grad_q, tables = launches.tile_backward_queries(
            q, k, v, grad, Tiles(*tiles), *saved, launches.vendor()
        )
    else:
        launch, delta, grad_q, tables = launches.gather_backward_queries(
            q, k, v, grad, indices, *saved
        )
    launch.run()
    inputs = (bias, logsumexp, delta, scale)
    if tiles:
        launch, grad_k, grad_v = launches.tile_backward_keys(
            q, k, v, grad, Tiles(*backward), *inputs, launches.vendor()
        )
    else:
        launch, grad_k, grad_v = launches.gather_backward_keys(
            q, k, v, grad, Inverse(*backward), *inputs
        )
    launch.run()
    table = logsumexp.new_empty(0) if tables is None else tables.sum(0)
    return grad_q, grad_k, grad_v, table


@triton_forward.register_fake
def _fake_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    indices: Tensor,
    tiles: list[Tensor],
    backward: list[Tensor],
    bias: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    return empty_merged(q), empty_per_query(q)


@triton_backward.register_fake
def _fake_backward(
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
    table = logsumexp.new_empty(0) if bias is None else torch.empty_like(bias)
    return empty_merged(q), empty_merged(q), empty_merged(q), table


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, indices, tiles, backward, bias, scale = inputs
    ctx.save_for_backward(q, k, v, indices, bias, *output, *tiles, *backward)
    ctx.tiles, ctx.backward_graph, ctx.scale = len(tiles), len(backward), scale


def _differentiate(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Any, ...]:
    q, k, v, indices, bias, out, logsumexp, *graph = ctx.saved_tensors
    tiles, backward = graph[: ctx.tiles], graph[ctx.tiles :]
    grad_q, grad_k, grad_v, table = triton_backward(
        grad, q, k, v, indices, tiles, backward, bias, out, logsumexp, ctx.scale
    )
    none_of = [None] * len(tiles), [None] * len(backward)
    return grad_q, grad_k, grad_v, None, *none_of, None if bias is None else table, None


triton_forward.register_autograd(_differentiate, setup_context=_save)
register_flop_formula(torch.ops.kgt.triton_forward)(count_forward_flops)
register_flop_formula(torch.ops.kgt.triton_backward)(count_backward_flops)


def _limits(problem: AttentionProblem) -> list[str]:
    return reasons_of_size(problem, MAX_HEAD_DIM, MAX_NODES)


BACKEND = Backend(
    "triton",
    attend,
    triton_cost,
    devices=("cpu", "cuda") if _INTERPRETED else ("cuda",),
    dtypes=(torch.float32, torch.bfloat16, torch.float16),
    package="triton",
    # On an H100 `sdpa` is faster only in 16 bits, with a backward pass and without a position bias.
    priority=1,
    limits=_limits,
)
