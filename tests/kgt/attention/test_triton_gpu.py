"""The contract of the Triton kernels on a real GPU; `triton_interpreted.py` needs none."""

import pytest
import torch

from kgt import build_key_graph, key_graph_attention
from kgt.attention import AttentionCall
from kgt.attention.bias import dense_bias
from kgt.attention.key_graph import KeyGraph
from kgt.attention.triton.backend import KERNELS, attend_with

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
SHAPES = {
    # windows, heads, nodes, head dimension, k
    "network": (4, 6, 1024, 30, 128),
    "many-keys": (2, 6, 1024, 30, 512),
    "all-keys": (1, 2, 256, 32, 256),
    "one-key": (2, 2, 64, 6, 1),
    "one-dimension": (2, 2, 100, 1, 9),
    "widest": (2, 2, 196, 64, 50),
    "one-token": (1, 1, 1, 8, 1),
}
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.fixture(autouse=True)
def _exact_float32():
    torch.set_float32_matmul_precision("highest")


def make_inputs(shape, dtype, bias=True, regions=None):
    windows, heads, nodes, dim, k = shape
    tokens = torch.randn(windows, nodes, 16, device="cuda")
    graph = build_key_graph(tokens, k, regions=regions)
    # As a network projects them: neither contiguous nor aligned to 16 bytes.
    projected = torch.randn(windows, nodes, 3, heads, dim, device="cuda").to(dtype)
    q, key, v = projected.permute(2, 0, 3, 1, 4).unbind()
    side = 2 * round(nodes**0.5) - 1
    table = torch.randn(heads, side, side, device="cuda") if bias else None
    return graph, q, key, v, table, torch.randn(windows, heads, nodes, dim, device="cuda")


def results(attend, q, k, v, table, weights):
    leaves = [t.detach().requires_grad_() for t in (q, k, v, table) if t is not None]
    out = attend(*leaves[:3], leaves[3] if table is not None else None)
    return [out.detach(), *torch.autograd.grad((out * weights.to(out.dtype)).sum(), leaves)]


def masked(graph):
    """Plain torch: dense scores and a mask, in the type of the queries."""

    def attend(q, k, v, table):
        mask = graph.to_mask()[:, None]
        scores = q @ k.mT * q.shape[-1] ** -0.5
        if table is not None:
            scores = scores + dense_bias(table, graph.nodes).to(q.dtype)
        return scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v

    return attend


def kernel_of(name, graph):
    return lambda q, k, v, table: attend_with(name, AttentionCall.describe(q, k, v, graph, table))


def assert_contract(kernel, inputs, dtype):
    """No further from float64 than twice what plain torch of the same type is, and a few ulp."""
    graph, q, k, v, table, weights = inputs
    double = [None if t is None else t.double() for t in (q, k, v, table)]
    truth = results(masked(graph), *double, weights)
    plain = results(masked(graph), q, k, v, table, weights)
    ours = results(kernel_of(kernel, graph), q, k, v, table, weights)
    # Of the gradients' common size: that of a query with one key is 0 but for a cancellation.
    ulp = torch.finfo(dtype).eps * max(t.abs().max() for t in truth[:4])
    for name, exact, other, found in zip(
        ("out", "q", "k", "v", "table"), truth, plain, ours, strict=False
    ):
        allowed = 2 * (other.double() - exact).abs().max() + 8 * ulp
        assert (found.double() - exact).abs().max() <= allowed, name


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("bias", [False, True])
def test_contract(kernel, dtype, shape, bias):
    assert_contract(kernel, make_inputs(shape, dtype, bias), dtype)


@pytest.mark.parametrize("kernel", KERNELS)
def test_contract_with_padded_rows_and_odd_numbers_of_tokens(kernel):
    regions = torch.arange(70, device="cuda")[None] // 6
    inputs = make_inputs((2, 3, 70, 30, 9), torch.float32, bias=False, regions=regions)
    assert inputs[0].degrees is not None
    assert_contract(kernel, inputs, torch.float32)


@pytest.mark.parametrize("kernel", KERNELS)
def test_deterministic_algorithms_repeat_bit_by_bit(kernel):
    graph, q, k, v, table, weights = make_inputs(SHAPES["network"], torch.float32)
    torch.use_deterministic_algorithms(True)
    try:
        runs = [results(kernel_of(kernel, graph), q, k, v, table, weights) for _ in range(5)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(a.equal(b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))


@pytest.mark.parametrize("kernel", KERNELS)
def test_permuting_tokens_and_graph_permutes_the_output(kernel):
    graph, q, k, v, *_ = make_inputs(SHAPES["network"], torch.float32)
    order = torch.randperm(graph.nodes, device="cuda")
    renamed = order.argsort()[graph.indices[:, order].long()].int().sort(-1).values
    moved = kernel_of(kernel, KeyGraph(renamed, graph.k))(
        *(t[:, :, order] for t in (q, k, v)), None
    )
    stayed = kernel_of(kernel, graph)(q, k, v, None)
    torch.testing.assert_close(moved, stayed[:, :, order], rtol=0, atol=2e-6)


def test_the_backend_runs_in_a_compiled_function():
    graph, q, k, v, table, _ = make_inputs(SHAPES["network"], torch.float32)
    key_graph_attention(q, k, v, graph, table, backend="triton")

    @torch.compile
    def call(q, k, v, table):
        return key_graph_attention(q, k, v, graph, table, backend="triton") * 2

    eager = key_graph_attention(q, k, v, graph, table, backend="triton")
    torch.testing.assert_close(call(q, k, v, table), eager * 2)
