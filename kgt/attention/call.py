"""One call of key-graph attention, described once and handed on to a backend."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kgt.attention.bias import window_of
from kgt.attention.key_graph import KeyGraph


@dataclass(frozen=True)
class AttentionShape:
    """Axes, types and demands of a call: what limits and costs depend on, without its tensors.

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

    def __str__(self) -> str:
        """In words, as errors and logs name it."""
        budget = self.byte_budget
        parts = (
            f"{self.windows:,} windows of {self.nodes:,} tokens with {self.k:,} keys each",
            f"{self.heads} heads of {self.head_dim} channels",
            f"{self.dtype} on {self.device}".removeprefix("torch."),
            *["a position bias"] * self.has_bias,
            *["rows with fewer keys"] * self.has_padding,
            *["gradients"] * self.requires_grad,
            *([] if budget is None else [f"a budget of {budget:,} bytes"]),
        )
        return ", ".join(parts)

    @property
    def queries(self) -> int:
        """W * N, the number of queries of a head."""
        return self.windows * self.nodes


@dataclass(frozen=True)
class AttentionCall:
    """The tensors of a call, and its shape; made by `describe`.

    Attributes:
        q, k, v: queries, keys and values [W, H, N, D]; any strides.
        graph: the keys of every token.
        bias: relative-offset table [H, 2M-1, 2M-1], or None.
        scale: factor of the scores.
        shape: axes, types and demands.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    graph: KeyGraph
    bias: Tensor | None
    scale: float
    shape: AttentionShape

    @classmethod
    def describe(
        cls,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        graph: KeyGraph,
        bias: Tensor | None = None,
        *,
        scale: float | None = None,
        byte_budget: int | None = None,
    ) -> AttentionCall:
        """Check that the tensors fit together, and describe them; as `key_graph_attention`.

        Raises:
            ValueError: naming the tensor, what it is and what was expected.
        """
        _check(q, k, v, graph, bias)
        tensors = (q, k, v) if bias is None else (q, k, v, bias)
        windows, heads, nodes, head_dim = q.shape
        shape = AttentionShape(
            windows=windows,
            heads=heads,
            nodes=nodes,
            head_dim=head_dim,
            k=graph.k,
            dtype=q.dtype,
            device=q.device.type,
            has_bias=bias is not None,
            has_padding=graph.degrees is not None,
            requires_grad=torch.is_grad_enabled() and any(t.requires_grad for t in tensors),
            byte_budget=byte_budget,
        )
        return cls(q, k, v, graph, bias, head_dim**-0.5 if scale is None else scale, shape)


def _check(q: Tensor, k: Tensor, v: Tensor, graph: KeyGraph, bias: Tensor | None) -> None:
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
            f"the graph has {graph.windows} windows of {graph.nodes} tokens, "
            f"q has {windows} windows of {nodes}"
        )
    if graph.indices.device != q.device:
        raise ValueError(f"the graph is on {graph.indices.device}, q on {q.device}")
    graph.check()
    if bias is not None:
        side = 2 * window_of(nodes) - 1
        if bias.shape != (heads, side, side):
            raise ValueError(
                f"bias must be the relative-offset table [{heads}, {side}, {side}] "
                f"for {heads} heads and N = {nodes}, got shape {list(bias.shape)}"
            )
