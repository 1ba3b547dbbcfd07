"""What is asked of an attention backend, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kgt.attention.bias import window_of
from kgt.attention.graph import KeyGraph


@dataclass(frozen=True)
class AttentionProblem:
    """Shape, type and demands of one key-graph attention call.

    Attributes:
        windows, heads, nodes, head_dim, k: the axes W, H, N, D, K.
        dtype: element type of queries, keys and values.
        device: device type, "cpu" or "cuda".
        has_bias: whether a position-bias table is added to the scores.
        has_padding: whether some rows of the graph hold fewer than K keys.
        requires_grad: whether gradients are wanted.
        byte_budget: bytes a chunked backend may hold at a time, None for its default, 0 without
            limit.
    """

    windows: int
    heads: int
    nodes: int
    head_dim: int
    k: int
    dtype: torch.dtype = torch.float32
    device: str = "cpu"
    has_bias: bool = False
    has_padding: bool = False
    requires_grad: bool = False
    byte_budget: int | None = None


def check_inputs(q: Tensor, k: Tensor, v: Tensor, graph: KeyGraph, bias: Tensor | None) -> None:
    """Refuse shapes and types that do not fit together.

    Raises:
        ValueError: naming the tensor, what it is and what was expected.
    """
    if q.ndim != 4 or q.numel() == 0:
        raise ValueError(f"q must be a non-empty [W, H, N, D], got shape {list(q.shape)}")
    if not q.is_floating_point():
        raise ValueError(f"q, k and v must be floating-point, got {q.dtype}")
    for name, tensor in (("k", k), ("v", v)):
        if tensor.shape != q.shape or tensor.dtype != q.dtype or tensor.device != q.device:
            raise ValueError(
                f"{name} is {list(tensor.shape)} {tensor.dtype} on {tensor.device}, but q is "
                f"{list(q.shape)} {q.dtype} on {q.device}; they must agree"
            )
    windows, heads, nodes, _ = q.shape
    if (graph.windows, graph.nodes) != (windows, nodes):
        raise ValueError(
            f"the graph has {graph.windows} windows of {graph.nodes} nodes, "
            f"q has {windows} windows of {nodes}"
        )
    if graph.indices.device != q.device:
        raise ValueError(f"the graph is on {graph.indices.device}, q on {q.device}")
    if bias is not None:
        side = 2 * window_of(nodes) - 1
        if bias.shape != (heads, side, side):
            raise ValueError(
                f"bias must be the relative-offset table [{heads}, {side}, {side}] "
                f"for {heads} heads and N = {nodes}, got shape {list(bias.shape)}"
            )


def describe(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    graph: KeyGraph,
    bias: Tensor | None,
    byte_budget: int | None,
) -> AttentionProblem:
    """The problem that these (checked) inputs pose."""
    inputs = (q, k, v) if bias is None else (q, k, v, bias)
    windows, heads, nodes, head_dim = q.shape
    return AttentionProblem(
        windows=windows,
        heads=heads,
        nodes=nodes,
        head_dim=head_dim,
        k=graph.k,
        dtype=q.dtype,
        device=q.device.type,
        has_bias=bias is not None,
        has_padding=graph.degrees is not None,
        requires_grad=torch.is_grad_enabled() and any(t.requires_grad for t in inputs),
        byte_budget=byte_budget,
    )
