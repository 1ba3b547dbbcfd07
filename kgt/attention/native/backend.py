"""`native`: C++ kernels for CPUs, forward and backward (sources in this folder).

Queries are done in groups of sixteen neighbors. Where they share enough keys, both products run
over the union of their keys like dense ones, with a bit per pair; elsewhere the rows of each
query's keys are read one by one. Which is faster follows from the size of the union.

In bfloat16 the forward pass goes to the matrix unit of processors that have one (Intel AMX) unless
the unions of a graph are so large that gathers in floats are faster.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kgt.attention.backend import Backend
from kgt.attention.call import AttentionCall, AttentionShape
from kgt.attention.compiling import once
from kgt.attention.cost import Cost, logsumexp_bytes, output_bytes, sparse_flops
from kgt.attention.key_graph import KeyGraph
from kgt.attention.native import load_operators, unavailable_reason
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

MAX_HEAD_DIM = 64
MAX_NODES = 65_535
# Of a plan, see groups.h: queries of a group, and the numbers that stand for each: a hash of its
# rows, its distinct keys, and its pairs of a query and a key.
GROUP, PLAN_HEADER = 16, 3
_DEVICES = ("cpu",)
_DTYPES = (torch.float32, torch.bfloat16)


def attend(call: AttentionCall) -> Tensor:
    """Attention of tiles of queries; the result's memory is [W, N, H, D], ready to be merged."""
    _register_operators()
    table = None if call.bias is None else call.bias.float()
    plan = call.graph.derive(plan_groups)
    indices = call.graph.indices.contiguous()
    tensors = (call.q, call.k, call.v, indices, plan, table)
    out: Tensor = call_operator(_Forward, *tensors, call.scale)[0]
    # The gradient needs the output as it is, and the caller may write into this one.
    return out.clone() if call.shape.requires_grad else out


def plan_groups(graph: KeyGraph) -> Tensor:
    """How each group of queries is done, as the operators take it."""
    indices = graph.indices.contiguous()
    if torch.compiler.is_compiling():
        return _plan_at_full_length(indices)
    return torch.ops.kgt.plan_attention(indices)


@torch.library.custom_op("kgt::plan_at_full_length", mutates_args=())
def _plan_at_full_length(indices: Tensor) -> Tensor:
    """A plan as long as that of any graph of this shape: compilers want to know the length."""
    plan = indices.new_zeros(_most_numbers(*indices.shape))
    made = torch.ops.kgt.plan_attention(indices)
    plan[: len(made)] = made
    return plan


@_plan_at_full_length.register_fake
def _fake_plan_at_full_length(indices: Tensor) -> Tensor:
    return indices.new_empty(_most_numbers(*indices.shape))


def _most_numbers(windows: int, nodes: int, k: int) -> int:
    """Of a plan: for each group of queries its numbers, and its distinct keys, padded."""
    union = -(-min(nodes, GROUP * k) // 96) * 96
    return windows * -(-nodes // GROUP) * (PLAN_HEADER + union)


@once
def _register_operators() -> None:
    """Load the operators and register their shapes, gradients and FLOPs with torch."""
    load_operators()
    torch.library.register_fake("kgt::plan_attention", _fake_plan)
    _Forward.register(empty_results, count_forward_flops)
    _Backward.register(_fake_backward, count_backward_flops)


def _fake_plan(indices: Tensor) -> Tensor:
    return indices.new_empty(torch.library.get_ctx().new_dynamic_size())


def _fake_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, indices: Tensor, plan: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return empty_gradients(q, bias=rest[0])


class _Backward(Gradient):
    name = "attention_backward"

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return torch.ops.kgt.attention_backward(*arguments)


class _Forward(Operator):
    name = "attention_forward"

    @staticmethod
    def forward(*arguments: Any) -> Any:
        return torch.ops.kgt.attention_forward(*arguments)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *tensors, bias, scale = inputs
        ctx.save_for_backward(*tensors, bias, *output)
        ctx.scale = scale

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Any, ...]:
        q, k, v, indices, plan, bias, out, logsumexp = ctx.saved_tensors
        tensors = grad, q, k, v, indices, plan, bias, out, logsumexp
        *grads, table = call_operator(_Backward, *tensors, ctx.scale)
        return (*grads, None, None, None if bias is None else table, None)


def cost(shape: AttentionShape) -> Cost:
    """The output, and the log-sum-exp of every query; a thread's scratch is left out."""
    return Cost(sparse_flops(shape), output_bytes(shape) + logsumexp_bytes(shape))


def _limits(shape: AttentionShape) -> list[str]:
    reasons = reasons_of_size(shape, MAX_HEAD_DIM, MAX_NODES)
    supported = shape.device in _DEVICES and shape.dtype in _DTYPES
    if supported and not reasons and unavailable_reason():
        reasons.append(unavailable_reason())
    return reasons


BACKEND = Backend(
    "native",
    attend,
    cost,
    priority=1,
    devices=_DEVICES,
    dtypes=_DTYPES,
    exportable=False,
    limits=_limits,
)
