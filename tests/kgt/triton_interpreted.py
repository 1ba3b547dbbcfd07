"""Runs the Triton kernel in Triton's interpreter against the reference; exits 1 on an error.

A program of its own: the interpreter must be asked for before triton is imported.
"""

import os
import sys

os.environ["TRITON_INTERPRET"] = "1"

import torch

from kgt import build_key_graph, key_graph_attention

CASES = [
    # windows, heads, nodes, head_dim, k, bias, strided, regions
    (1, 1, 9, 1, 1, False, False, False),
    (2, 3, 16, 30, 5, False, True, False),
    (2, 2, 16, 8, 16, True, False, False),
    (1, 2, 49, 10, 40, True, True, False),
    (2, 2, 16, 6, 9, True, False, True),
    (1, 1, 35, 64, 33, False, False, False),
]


def worst_error(case, dtype):
    windows, heads, nodes, head_dim, k, has_bias, strided, has_regions = case
    torch.manual_seed(0)
    regions = torch.arange(nodes)[None] // 6 if has_regions else None
    graph = build_key_graph(torch.randn(windows, nodes, 7), k, regions=regions)
    q, key, v = torch.randn(3, windows, heads, nodes, head_dim).to(dtype).unbind()
    if strided:
        q, key, v = (t.transpose(1, 2).contiguous().transpose(1, 2) for t in (q, key, v))
    side = 2 * int(nodes**0.5) - 1
    bias = torch.randn(heads, side, side) if has_bias else None
    out = key_graph_attention(q, key, v, graph, bias, "triton")
    truth = key_graph_attention(
        q.double(), key.double(), v.double(), graph, bias, backend="reference"
    )
    assert out.dtype == dtype
    return (out.double() - truth).abs().max().item()


failed = False
for dtype, tolerance in ((torch.float32, 2e-6), (torch.float16, 2e-3)):
    for case in CASES:
        error = worst_error(case, dtype)
        print(dtype, case, error)
        failed |= not error <= tolerance
sys.exit(failed)
