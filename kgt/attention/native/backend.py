"""`native`: C++ kernels for CPUs, forward and backward (sources in this folder).

Queries are done in groups of sixteen neighbors. Where they share enough keys, both products run
over the union of their keys like dense ones, with a bit per pair; elsewhere the rows of each
query's keys are read one by one. Which is faster follows from the size of the union.

In bfloat16 the forward pass goes to the matrix unit of processors that have one (Intel AMX) unless
the unions of a graph are so large that gathers in floats are faster.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from kgt.attention.backend import Backend
from kgt.attention.call import AttentionCall, AttentionShape
from kgt.attention.cost import Cost, logsumexp_bytes, output_bytes, sparse_flops
from kgt.attention.graph import KeyGraph
from kgt.attention.native import load_operators, unavailable_reason
from kgt.attention.operators import (
    count_backward_flops,
    count_forward_flops,
    empty_gradients,
    empty_results,
    reasons_of_size,
)

MAX_HEAD_DIM = 64
MAX_NODES = 65_535
_DEVICES = ("cpu",)
_DTYPES = (torch.float32, torch.bfloat16)


def attend(call: AttentionCall) -> Tensor:
    """Attention of tiles of queries; the result's memory is [W, N, H, D], ready to be merged."""
    _register_operators()
    table = None if call.bias is None else call.bias.float()
    plan = call.graph.derive(plan_groups)
    indices = call.graph.indices.contiguous()
    tensors = (call.q, call.k, call.v, indices, plan, table)
    return torch.ops.kgt.attention_forward(*tensors, call.scale)[0]


def plan_groups(graph: KeyGraph) -> Tensor:
    """How each group of queries is done, as the operators take it."""
    return torch.ops.kgt.plan_attention(graph.indices.contiguous())


@cache
def _register_operators() -> None:
    """Load the operators and register their shapes, gradients and FLOPs with torch."""
    load_operators()
    name = "kgt::attention_forward"
    torch.library.register_fake("kgt::plan_attention", _fake_plan)
    torch.library.register_fake(name, empty_results)
    torch.library.register_fake("kgt::attention_backward", _fake_backward)
    torch.library.register_autograd(name, _backward, setup_context=_save)
    register_flop_formula(torch.ops.kgt.attention_forward)(count_forward_flops)
    register_flop_formula(torch.ops.kgt.attention_backward)(count_backward_flops)


def _fake_plan(indices: Tensor) -> Tensor:
    return indices.new_empty(torch.library.get_ctx().new_dynamic_size())


def _fake_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, indices: Tensor, plan: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return empty_gradients(q, bias=rest[0])


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, bias, scale = inputs
    ctx.save_for_backward(*tensors, bias, *output)
    ctx.scale = scale


def _backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Any, ...]:
    q, k, v, indices, plan, bias, out, logsumexp = ctx.saved_tensors
    *grads, table = torch.ops.kgt.attention_backward(
        grad, q, k, v, indices, plan, bias, out, logsumexp, ctx.scale
    )
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
    limits=_limits,
)
