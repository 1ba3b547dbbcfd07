"""`flex` against the reference.

Every shape, element type and bias is compiled for some six seconds, so the full matrix of
test_attention.py would take minutes; these cases cover each of its axes once.
"""

import pytest
import torch

from kgt import KeyGraph, build_key_graph, key_graph_attention
from kgt.attention import AttentionCall, AttentionShape, flex, get_backend

REGIONS = torch.arange(16)[None] // 6
MISSING = flex._missing()
compiles = pytest.mark.skipif(bool(MISSING), reason="; ".join(MISSING))
ALLOWED = {torch.float32: 2e-6, torch.bfloat16: 3e-2}


@pytest.fixture(autouse=True)
def _poisoned_memory():
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)


def make_problem(windows, heads, nodes, head_dim, k, dtype=torch.float32, regions=None):
    graph = build_key_graph(torch.randn(windows, nodes, 7), k, regions=regions)
    q, key, v = torch.randn(3, windows, heads, nodes, head_dim).to(dtype).unbind()
    side = 2 * int(nodes**0.5) - 1
    return q, key, v, graph, torch.randn(heads, side, side).to(dtype)


def check(q, k, v, graph, bias):
    exact = (t if t is None else t.double() for t in (q, k, v))
    table = None if bias is None else bias.double()
    truth = key_graph_attention(*exact, graph, table, "reference")
    out = key_graph_attention(q, k, v, graph, bias, "flex")
    assert out.dtype == q.dtype
    torch.testing.assert_close(out.double(), truth, rtol=0, atol=ALLOWED[q.dtype])


@compiles
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((2, 3, flex.BLOCK + 1, 6, 9), torch.float32),
        ((2, 1, 16, 64, 5), torch.bfloat16),
    ],
)
def test_flex_is_the_reference(shape, dtype):
    check(*make_problem(*shape, dtype)[:4], None)


@compiles
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bias_borders_one_key_and_all_keys_share_a_kernel(dtype):
    q, k, v, bordered, bias = make_problem(2, 2, 16, 1, 9, dtype, REGIONS)
    assert bordered.degrees is not None
    graphs = [bordered, *(build_key_graph(torch.randn(2, 16, 7), keys) for keys in (1, 16, 50))]
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for graph in graphs:
        check(q, k, v, graph, bias)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


@compiles
def test_any_strides():
    *tensors, graph, _ = make_problem(2, 3, 16, 6, 5)
    views = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in tensors]
    assert not views[0].is_contiguous()
    check(*views, graph, None)


def test_block_mask_holds_exactly_the_blocks_with_an_edge():
    nodes = 2 * flex.BLOCK + 5
    graph = build_key_graph(torch.randn(2, nodes, 7), 2)
    # Window 0 attends to its own third of the nodes only.
    own = torch.arange(nodes, dtype=torch.int32)
    indices = graph.indices.clone()
    indices[0] = torch.stack([own, own], -1)
    mask = KeyGraph(indices, 2)
    blocks = flex.block_mask(mask)
    dense = blocks.to_dense()[:, 0].bool()
    edges = mask.to_mask()
    for w in range(2):
        for row in range(3):
            for column in range(3):
                at = [slice(i * flex.BLOCK, (i + 1) * flex.BLOCK) for i in (row, column)]
                assert dense[w, row, column] == edges[w][at[0], at[1]].any()
    assert torch.equal(dense[0], torch.eye(3, dtype=torch.bool))


@compiles
def test_the_mask_is_derived_once_per_graph():
    q, k, v, graph, _ = make_problem(2, 3, 16, 6, 5)
    assert graph.derived == {}
    key_graph_attention(q, k, v, graph, backend="flex")
    derived = graph.derived[flex.block_mask]
    key_graph_attention(q, k, v, graph, backend="flex")
    assert graph.derived[flex.block_mask] is derived


def test_what_flex_cannot_do_is_refused_with_every_reason(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    flex._missing.cache_clear()
    asked = AttentionShape(1, 1, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    reasons = "; ".join(get_backend("flex").unsupported_reasons(asked))
    flex._missing.cache_clear()
    for part in ("not float64", "no backward pass", "no-such-compiler (install one"):
        assert part in reasons


def test_cost_counts_the_kept_mask():
    q, _, _, graph, _ = make_problem(2, 3, 64, 5, 6)
    cost = get_backend("flex").cost(AttentionCall.describe(q, q, q, graph).shape)
    assert cost.flops == 4 * 2 * 3 * 64 * 64 * 5
    assert cost.peak_bytes == max(2 * 64 * (64 + 8 * 6), 2 * 64 * 64 + 4 * q.numel())
