"""What operators of compiled kernels share: results, derivatives, FLOPs, limits of size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from kgt.attention.call import AttentionShape
from kgt.attention.compiling import is_traced


def empty_merged(q: Tensor) -> Tensor:
    """Uninitialized [W, H, N, D], whose memory is [W, N, H, D], ready to be merged."""
    windows, heads, nodes, dim = q.shape
    return q.new_empty(windows, nodes, heads, dim).transpose(1, 2)


def empty_per_query(q: Tensor) -> Tensor:
    """Uninitialized float32 [W, H, N]."""
    return q.new_empty(q.shape[:3], dtype=torch.float32)


def empty_results(q: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """Out and log-sum-exp, uninitialized: a forward operator's fake implementation."""
    return empty_merged(q), empty_per_query(q)


def empty_gradients(q: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of queries, keys, values and table, uninitialized; the last empty without one."""
    table = q.new_empty(0 if bias is None else bias.shape, dtype=torch.float32)
    return empty_merged(q), empty_merged(q), empty_merged(q), table


class Operator(torch.autograd.Function):
    """An operator with its gradient; a subclass has its name, and how the gradient is computed.

    `torch.library.register_autograd` alone is not seen by torch.func, and loses the tangents of
    forward-mode derivatives without a word; this class alone hides the operator from tracers.
    """

    generate_vmap_rule = True
    name: str

    @classmethod
    def register(cls, fake: Callable[..., Any], flops: Callable[..., int]) -> None:
        """Tell torch the operator's results without values, its gradient and its FLOPs."""
        name = f"kgt::{cls.name}"
        torch.library.register_fake(name, fake)
        backward = cls.registered_backward
        torch.library.register_autograd(name, backward, setup_context=cls.setup_context)
        register_flop_formula(getattr(torch.ops.kgt, cls.name))(flops)

    @classmethod
    def registered_backward(cls, ctx: Any, *grads: Any) -> Any:
        """As `backward`, with a list of None for each list of tensors."""
        return cls.backward(ctx, *grads)

    @classmethod
    def jvp(cls, *_: Any) -> Any:
        """Refuse forward mode."""
        raise cls.refusal("forward-mode derivative")

    @classmethod
    def refusal(cls, derivative: str) -> RuntimeError:
        """The error of a derivative that there is not."""
        return RuntimeError(
            f"kgt::{cls.name} has no {derivative}; for one, call key_graph_attention with "
            'backend="torch-gather"'
        )


class Gradient(Operator):
    """An operator that computes gradients, whose own gradient torch would take for zero."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep nothing."""

    @classmethod
    def backward(cls, ctx: Any, *_: Any) -> Any:
        """Refuse."""
        raise cls.refusal("second derivative")


def call_operator(operator: type[Operator], *arguments: Any) -> Any:
    """Results of an operator, with its derivatives."""
    return (operator.forward if is_traced() else operator.apply)(*arguments)


def count_forward_flops(q: Any, k: Any, v: Any, indices: Any, *rest: Any, **_: Any) -> int:
    """FLOPs of the pairs of the graph; further pairs that a tile computes are not counted."""
    windows, heads, nodes, dim = q
    return 4 * windows * heads * nodes * indices[2] * dim


def count_backward_flops(
    grad: Any, q: Any, k: Any, v: Any, indices: Any, *rest: Any, **_: Any
) -> int:
    """The scores once more, and the gradients of weights, queries, keys and values."""
    return count_forward_flops(q, k, v, indices) // 2 * 5


def reasons_of_size(shape: AttentionShape, head_dim: int, nodes: int) -> list[str]:
    """Why a shape is too large for kernels with these limits; empty when it is not."""
    reasons = []
    if shape.head_dim > head_dim:
        reasons.append(f"takes a head dimension of at most {head_dim}, not {shape.head_dim}")
    if shape.nodes > nodes:
        reasons.append(f"takes at most {nodes:,} tokens in a window, not {shape.nodes:,}")
    return reasons
