"""Runs the Triton kernels in Triton's interpreter against the reference; exits 1 on an error.

A program of its own: the interpreter must be asked for before triton is imported.
"""

import os
import sys

os.environ["TRITON_INTERPRET"] = "1"

import torch

from kgt import build_key_graph
from kgt.attention import get_backend
from kgt.attention.triton_op import KERNELS, attend_with

CASES = [
    # windows, heads, nodes, head dimension, k, bias, strided, regions
    (1, 1, 9, 1, 1, False, False, False),
    (2, 2, 49, 30, 5, True, True, False),
    (1, 2, 36, 6, 36, True, False, False),
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
    return graph, q, key, v, bias, weights, head_dim**-0.5


def worst_error(kernel, case, dtype):
    """Largest error of output and gradients, each over the largest true value."""
    graph, q, k, v, bias, weights, scale = make_inputs(case, dtype)
    found = results(
        lambda q, k, v, b: attend_with(kernel, q, k, v, graph, b, scale), q, k, v, bias, weights
    )
    double = [None if t is None else t.double() for t in (q, k, v, bias)]
    reference = get_backend("reference")
    truth = results(
        lambda q, k, v, b: reference.attend(q, k, v, graph, b, scale, None), *double, weights
    )
    assert all(ours.dtype == dtype for ours in found[:4])
    return max(
        ((ours.double() - exact).abs().max() / (1 + exact.abs().max())).item()
        for ours, exact in zip(found, truth, strict=True)
    )


def repeats(kernel, case):
    """Whether a second run under deterministic algorithms gives the same bits."""
    graph, q, k, v, bias, weights, scale = make_inputs(case, torch.float32)
    runs = [
        results(
            lambda q, k, v, b: attend_with(kernel, q, k, v, graph, b, scale), q, k, v, bias, weights
        )
        for _ in range(2)
    ]
    return all(a.equal(b) for a, b in zip(*runs, strict=True))


failed = False
# Uninitialized memory is filled with NaN, so that reading it shows.
torch.utils.deterministic.fill_uninitialized_memory = True
for deterministic in (False, True):
    torch.use_deterministic_algorithms(deterministic)
    for kernel in KERNELS:
        for dtype, tolerance in ((torch.float32, 2e-6), (torch.float16, 2e-3)):
            for case in CASES:
                error = worst_error(kernel, case, dtype)
                print(deterministic, kernel, dtype, case, error)
                failed |= not error <= tolerance
        if deterministic:
            failed |= not repeats(kernel, CASES[1])
sys.exit(failed)
