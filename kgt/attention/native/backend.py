"""`native`: C++ kernels for CPUs, forward and backward (sources in `kgt/native`).

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

from kgt.attention.call import AttentionProblem
from kgt.attention.cost import native_cost
from kgt.attention.graph import KeyGraph
from kgt.attention.native import load_operators, unavailable_reason
from kgt.attention.operators import (
    count_backward_flops,
    count_forward_flops,
    empty_merged,
    empty_per_query,
    reasons_of_size,
)
from kgt.attention.registry import Backend

MAX_HEAD_DIM = 64
MAX_NODES = 65_535


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    graph: KeyGraph,
    bias: Tensor | None,
    scale: float,
    byte_budget: int | None,
) -> Tensor:
    """Attention of tiles of queries; the result's memory is [W, N, H, D], ready to be merged."""
    _register_operators()
    table = None if bias is None else bias.float()
    indices = graph.indices.contiguous()
    if "native" not in graph.derived:
        graph.derived["native"] = torch.ops.kgt.plan_attention(indices)
    plan = graph.derived["native"]
    return torch.ops.kgt.attention_forward(q, k, v, indices, plan, table, scale)[0]


@cache
def _register_operators() -> None:
    """Load the operators and tell torch their shapes, gradients and FLOPs."""
    load_operators()
    name = "kgt::attention_forward"
    torch.library.register_fake("kgt::plan_attention", _fake_plan)
    torch.library.register_fake(name, _fake_forward)
    torch.library.register_fake("kgt::attention_backward", _fake_backward)
    torch.library.register_autograd(name, _backward, setup_context=_save)
    register_flop_formula(torch.ops.kgt.attention_forward)(count_forward_flops)
    register_flop_formula(torch.ops.kgt.attention_backward)(count_backward_flops)


def _fake_plan(indices: Tensor) -> Tensor:
    return indices.new_empty(torch.library.get_ctx().new_dynamic_size())


def _fake_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    indices: Tensor,
    plan: Tensor,
    bias: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    return empty_merged(q), empty_per_query(q)


def _fake_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    indices: Tensor,
    plan: Tensor,
    bias: Tensor | None,
    out: Tensor,
    logsumexp: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    table = q.new_empty(0, dtype=torch.float32) if bias is None else torch.empty_like(bias)
    return empty_merged(q), empty_merged(q), empty_merged(q), table


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


def _limits(problem: AttentionProblem) -> list[str]:
    reasons = reasons_of_size(problem, MAX_HEAD_DIM, MAX_NODES)
    if not reasons and problem.device == "cpu" and unavailable_reason():
        reasons.append(unavailable_reason())
    return reasons


BACKEND = Backend(
    "native",
    attend,
    native_cost,
    priority=1,
    devices=("cpu",),
    dtypes=(torch.float32, torch.bfloat16),
    limits=_limits,
)
