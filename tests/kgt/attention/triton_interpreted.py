"""Runs the Triton kernels in Triton's interpreter against the reference; exits 1 on an error.

A program of its own: the interpreter must be asked for before triton is imported.
"""

import os
import sys

os.environ["TRITON_INTERPRET"] = "1"

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kgt import build_key_graph, key_graph_attention
from kgt.attention import AttentionCall, get_backend
from kgt.attention.triton import launch
from kgt.attention.triton.backend import KERNELS, attend_with
from kgt.attention.triton.tiling import invert, tile_keys, tile_queries
from kgt.tiles.memory import LiveTensorBytes

CASES = [
    # windows, heads, nodes, head dimension, k, bias, strided, regions
    (1, 1, 9, 1, 1, False, False, False),
    (2, 2, 36, 30, 5, True, True, False),
    (1, 1, 36, 6, 36, True, False, False),
    (2, 1, 36, 6, 9, True, False, True),
    (1, 1, 70, 64, 40, False, False, False),
    (1, 1, 1, 30, 1, True, False, False),
]


def results(attend, q, k, v, bias, weights):
    """The output, and the gradients of q, k, v and, where there is one, bias."""
    leaves = [t.detach().requires_grad_() for t in (q, k, v, bias) if t is not None]
    out = attend(*leaves[:3], leaves[3] if bias is not None else None)
    grads = torch.autograd.grad((out * weights.to(out.dtype)).sum(), leaves)
    return [out.detach(), *grads]


def make_inputs(case, dtype):
    windows, heads, nodes, head_dim, k, has_bias, strided, has_regions = case
    torch.manual_seed(0)
    regions = torch.arange(nodes)[None] // 6 if has_regions else None
    graph = build_key_graph(torch.randn(windows, nodes, 7), k, regions=regions, backend="torch")
    q, key, v = torch.randn(3, windows, heads, nodes, head_dim).to(dtype).unbind()
    weights = torch.randn(windows, heads, nodes, head_dim)
    if strided:
        q = q.transpose(1, 2).contiguous().transpose(1, 2)
        key = torch.stack([key, key], -1)[..., 1]
        v = v.mT.contiguous().mT
        weights = weights.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    side = 2 * round(nodes**0.5) - 1
    bias = torch.randn(heads, side, side) if has_bias else None
    return graph, q, key, v, bias, weights


def attend_by(kernel, graph):
    return lambda q, k, v, bias: attend_with(kernel, AttentionCall.describe(q, k, v, graph, bias))


def worst_error(kernel, case, dtype):
    """Largest error of output and gradients, each over the largest true value."""
    graph, q, k, v, bias, weights = make_inputs(case, dtype)
    found = results(attend_by(kernel, graph), q, k, v, bias, weights)
    double = [None if t is None else t.double() for t in (q, k, v, bias)]
    truth = results(
        lambda q, k, v, b: key_graph_attention(q, k, v, graph, b, "reference"), *double, weights
    )
    assert all(ours.dtype == dtype for ours in found[:4])
    return max(
        ((ours.double() - exact).abs().max() / (1 + exact.abs().max())).item()
        for ours, exact in zip(found, truth, strict=True)
    )


def repeats(kernel, case):
    """Whether a second run under deterministic algorithms gives the same bits."""
    graph, *inputs = make_inputs(case, torch.float32)
    runs = [results(attend_by(kernel, graph), *inputs) for _ in range(2)]
    return all(a.equal(b) for a, b in zip(*runs, strict=True))


def through_the_backend(case):
    """Largest difference between the backend's output, by the kernel it chose, and the truth."""
    graph, q, k, v, bias, _ = make_inputs(case, torch.float32)
    with torch.inference_mode(), LiveTensorBytes() as memory:
        out = key_graph_attention(q, k, v, graph, bias, "triton")
    cost = get_backend("triton").cost(AttentionCall.describe(q, k, v, graph, bias).shape)
    # What has no axis of windows is not in the closed form: the order of the tokens, and the like.
    assert memory.peak <= cost.peak_bytes + 32 * graph.nodes, (memory.peak, cost)
    double = [None if t is None else t.double() for t in (q, k, v, bias)]
    truth = key_graph_attention(*double[:3], graph, double[3], "reference")
    return (out.double() - truth).abs().max().item()


def check_operator(kernel, case):
    """Torch's own checks of schema, fake implementation and gradients, and the counted FLOPs."""
    graph, q, k, v, bias, _ = make_inputs(case, torch.float32)
    leaves = [t.detach().requires_grad_() for t in (q, k, v)]
    with FlopCounterMode(display=False) as counter:
        out = attend_by(kernel, graph)(*leaves, bias)
        forward = counter.get_total_flops()
        out.sum().backward()
    assert forward == 4 * q.numel() * graph.k, forward
    assert counter.get_total_flops() == forward * 7 // 2, counter.get_total_flops()
    backward = [*graph.derive(invert if kernel == "gather" else tile_queries)]
    tiles = [*graph.derive(tile_keys)] if kernel == "tile" else []
    # As networks make a table: not contiguous.
    strided = bias.mT.contiguous().mT
    for table in (strided, None):
        leaf = None if table is None else table.detach().requires_grad_()
        given = (graph.indices, tiles, backward)
        torch.library.opcheck(torch.ops.kgt.triton_forward.default, (*leaves, *given, leaf, 0.5))
        tensors = (q, k, v, *given, table)
        results = torch.ops.kgt.triton_forward(*tensors, 0.5)
        arguments = (torch.randn_like(q), *tensors, *results, 0.5)
        torch.library.opcheck(torch.ops.kgt.triton_backward.default, arguments)


def check_derivatives(kernel, case):
    """The gradient is torch.func's, too; a second one and forward mode raise."""
    graph, q, k, v, bias, _ = make_inputs(case, torch.float32)

    attend = attend_by(kernel, graph)

    def loss(q):
        return attend(q, k, v, bias).square().sum()

    def exact(q):
        return key_graph_attention(q, k, v, graph, bias, "reference").square().sum()

    torch.testing.assert_close(torch.func.grad(loss)(q), torch.func.grad(exact)(q))
    for differentiate in (torch.func.hessian, torch.func.jacfwd):
        with pytest.raises(RuntimeError, match='backend="torch-gather"'):
            differentiate(loss)(q)


# Few enough that programs have several queries, and tiles share a table.
launch.TABLE_PROGRAMS, launch.SHARED_TABLES = 5, 2
errors = {}
for kernel in KERNELS:
    for case in CASES:
        errors[kernel, "float32", case] = worst_error(kernel, case, torch.float32) / 1e-6
    for case in CASES[1:4]:
        errors[kernel, "float16", case] = worst_error(kernel, case, torch.float16) / 2e-3
for case in CASES[2:4]:
    errors["backend", "float32", case] = through_the_backend(case) / 1e-6
for kernel in KERNELS:
    check_operator(kernel, (1, 1, 9, 6, 3, True, False, False))
    check_derivatives(kernel, (1, 1, 9, 6, 3, True, False, False))
# Uninitialized memory is filled with NaN then, so that reading it shows.
torch.use_deterministic_algorithms(True)
for kernel in KERNELS:
    errors[kernel, "padded", CASES[3]] = worst_error(kernel, CASES[3], torch.float32) / 1e-6
    errors[kernel, "repeated", CASES[3]] = 0 if repeats(kernel, CASES[3]) else torch.inf

for name, error in errors.items():
    print(*name, f"{error:.3f} of what is allowed")
sys.exit(not all(error <= 1 for error in errors.values()))
