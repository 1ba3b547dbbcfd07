from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from kgt import build_key_graph, key_graph_attention, list_backends
from kgt.attention import AttentionShape, Backend, choose_backend, get_backend
from kgt.attention import registry as registry_module
from kgt.attention.bias import dense_bias
from kgt.attention.key_graph import KeyGraph
from kgt.attention.sdpa import attend_densely, dense_cost

# What runs on a CPU; the Triton kernel (in the interpreter) and flex (seconds per shape) have tests
# of their own.
BACKENDS = [
    name for name in list_backends() if "cpu" in get_backend(name).devices and name != "flex"
]
FAST = [name for name in BACKENDS if name != "reference"]
DTYPES = [torch.float64, torch.float32, torch.bfloat16]


def precision(backend):
    """The finest element type that a backend takes, and how far its results may stray in it."""
    if torch.float64 in get_backend(backend).dtypes:
        return torch.float64, 1e-12
    return torch.float32, 3e-6


def in_precision(backend, inputs):
    dtype, tolerance = precision(backend)
    return [t.to(dtype) if torch.is_tensor(t) else t for t in inputs], tolerance


@pytest.fixture(autouse=True)
def _poisoned_memory():
    """Fill uninitialized outputs with NaN, so that reading one shows."""
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)


def problem(windows, heads, nodes, head_dim, k, *, bias=False, regions=None, dtype=torch.float64):
    graph = build_key_graph(torch.randn(windows, nodes, 7), k, regions=regions)
    q, key, v = torch.randn(3, windows, heads, nodes, head_dim, dtype=dtype).unbind()
    side = 2 * int(nodes**0.5) - 1
    table = torch.randn(heads, side, side, dtype=dtype) if bias else None
    return q, key, v, graph, table


def spell_out(q, k, v, graph, table):
    """Independent of the package: one query, one head, one list of keys at a time, float64."""
    out = torch.empty_like(q)
    dense = None if table is None else dense_bias(table, graph.nodes)
    for w, rows in enumerate(graph.indices.tolist()):
        for i, row in enumerate(rows):
            keys = [j for j in row if j >= 0]
            for h in range(q.shape[1]):
                scores = k[w, h, keys] @ q[w, h, i] / q.shape[-1] ** 0.5
                if dense is not None:
                    scores = scores + dense[h, i, keys]
                out[w, h, i] = torch.softmax(scores, 0) @ v[w, h, keys]
    return out


REGIONS = torch.arange(16)[None] // 6


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("regions", [None, REGIONS])
def test_reference_is_the_formula(bias, regions):
    inputs = problem(2, 3, 16, 5, 7, bias=bias, regions=regions)
    torch.testing.assert_close(
        key_graph_attention(*inputs, backend="reference"), spell_out(*inputs), rtol=0, atol=1e-12
    )


CASES = {
    "odd-size": {"shape": (2, 3, 35, 6, 9)},
    "one-key": {"shape": (2, 2, 16, 8, 1)},
    "all-keys": {"shape": (2, 2, 16, 8, 16)},
    "more-keys-than-nodes": {"shape": (1, 2, 9, 4, 50)},
    "one-dimension": {"shape": (1, 2, 16, 1, 5)},
    "widest": {"shape": (1, 1, 16, 64, 5)},
    "bias": {"shape": (2, 3, 16, 10, 6), "bias": True},
    "borders": {"shape": (2, 2, 16, 8, 9), "regions": REGIONS},
    "bias-borders": {"shape": (2, 2, 16, 8, 9), "regions": REGIONS, "bias": True},
}


def outputs_and_gradients(inputs, backend, dtype, **options):
    *tensors, table = inputs
    graph = tensors.pop()
    leaves = [t.to(dtype).requires_grad_() for t in tensors]
    if table is not None:
        leaves.append(table.to(dtype).requires_grad_())
    out = key_graph_attention(
        *leaves[:3], graph, leaves[3] if table is not None else None, backend, **options
    )
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape)
    return [out, *torch.autograd.grad((out * weights.to(dtype)).sum(), leaves)]


def plain_torch(inputs, dtype):
    """Dense masked attention as anyone would write it, in the precision under test."""
    q, k, v, graph, table = inputs
    leaves = [t.to(dtype).requires_grad_() for t in (q, k, v)]
    if table is not None:
        leaves.append(table.to(dtype).requires_grad_())
    scores = leaves[0] @ leaves[1].mT / q.shape[-1] ** 0.5
    if table is not None:
        scores = scores + dense_bias(leaves[3], graph.nodes)
    out = scores.masked_fill(~graph.to_mask()[:, None], -torch.inf).softmax(-1) @ leaves[2]
    weights = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape)
    return [out, *torch.autograd.grad((out * weights.to(dtype)).sum(), leaves)]


def check_contract(backend, dtype, case):
    options = {key: value for key, value in case.items() if key != "shape"}
    inputs = problem(*case["shape"], **options)
    # what the precision under test can represent is the common input of all
    inputs = [t.to(dtype).double() if torch.is_tensor(t) else t for t in inputs]
    truth = outputs_and_gradients(inputs, "reference", torch.float64)
    plain = plain_torch(inputs, dtype)
    ours = outputs_and_gradients(inputs, backend, dtype)
    # gradients that cancel to zero are rounded at the size of what was subtracted
    ulp = torch.finfo(dtype).eps * max(t.abs().max() for t in truth)
    for exact, usual, result in zip(truth, plain, ours, strict=True):
        assert result.dtype == dtype
        allowed = 2 * (usual.double() - exact).abs().max() + 4 * ulp
        assert (result.double() - exact).abs().max() <= allowed


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [(name, dtype) for name in FAST for dtype in DTYPES if dtype in get_backend(name).dtypes],
)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_backend_meets_the_contract(backend, dtype, case):
    check_contract(backend, dtype, case)


@pytest.fixture
def register_here(monkeypatch):
    """Registers backends for the length of a test."""
    monkeypatch.setattr(registry_module, "_BACKENDS", dict(registry_module._BACKENDS))
    return registry_module.register


def attend_by_weights(call):
    """A backend of a few lines: all scores, and weights of 0 outside the graph."""
    scores = call.scale * call.q @ call.k.mT
    if call.bias is not None:
        scores = scores + dense_bias(call.bias, call.shape.nodes)
    outside = ~call.graph.to_mask()[:, None]
    return scores.masked_fill(outside, -torch.inf).softmax(-1) @ call.v


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ["odd-size", "bias-borders"])
def test_a_new_backend_is_held_to_the_contract_once_it_is_registered(register_here, dtype, case):
    register_here(Backend("toy", attend_by_weights))
    assert list_backends()[-1] == "toy"
    check_contract("toy", dtype, CASES[case])


def test_a_new_backend_that_is_wrong_breaks_the_contract(register_here):
    register_here(Backend("toy", lambda call: attend_by_weights(replace(call, scale=1.0))))
    with pytest.raises(AssertionError):
        check_contract("toy", torch.float64, CASES["odd-size"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_keys_equal_dense_attention(backend):
    (q, k, v, graph, table), tolerance = in_precision(backend, problem(2, 3, 16, 6, 16, bias=True))
    dense = F.scaled_dot_product_attention(q, k, v, attn_mask=dense_bias(table, 16))
    out = key_graph_attention(q, k, v, graph, table, backend)
    torch.testing.assert_close(out, dense, rtol=0, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
def test_permuting_nodes_and_graph_permutes_the_output(backend):
    (q, k, v, graph, _), tolerance = in_precision(backend, problem(2, 2, 20, 4, 6))
    order = torch.randperm(20)
    place = order.argsort()
    indices = place[graph.indices[:, order].long()].sort(-1).values.int()
    permuted = key_graph_attention(
        *(t[:, :, order] for t in (q, k, v)), KeyGraph(indices, 6), backend=backend
    )
    expected = key_graph_attention(q, k, v, graph, backend=backend)[:, :, order]
    torch.testing.assert_close(permuted, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_strides(backend):
    (q, k, v, graph, _), tolerance = in_precision(backend, problem(2, 3, 16, 4, 5))
    expected = key_graph_attention(q, k, v, graph, backend=backend)
    for axis in (1, 3):  # rows of all heads side by side; a head dimension that is not contiguous
        views = [t.transpose(axis, 2).contiguous().transpose(axis, 2) for t in (q, k, v)]
        assert not views[0].is_contiguous()
        torch.testing.assert_close(
            key_graph_attention(*views, graph, backend=backend), expected, rtol=0, atol=tolerance
        )


@pytest.mark.parametrize("case", ["odd-size", "bias-borders"])
def test_gather_in_chunks_equals_gather_at_once(case):
    options = {key: value for key, value in CASES[case].items() if key != "shape"}
    inputs = problem(*CASES[case]["shape"], **options)
    whole = outputs_and_gradients(inputs, "torch-gather", torch.float64, byte_budget=0)
    chunked = outputs_and_gradients(inputs, "torch-gather", torch.float64, byte_budget=20_000)
    for expected, result in zip(whole, chunked, strict=True):
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)


def test_unknown_backend_lists_the_valid_ones():
    inputs = problem(1, 1, 4, 2, 2)
    valid = ", ".join(["auto", *list_backends()])
    with pytest.raises(ValueError, match=f"unknown backend 'cuda'; valid: {valid}$"):
        key_graph_attention(*inputs, backend="cuda")
    with pytest.raises(ValueError, match="unknown backend 'torch-mas'; valid: torch-mask, "):
        get_backend("torch-mas")


def test_a_refusal_gives_every_reason(register_here):
    register_here(
        Backend(
            "picky",
            attend=get_backend("reference").attend,
            priority=9,
            devices=("cuda",),
            dtypes=(torch.float16,),
            backward=False,
            limits=lambda shape: [f"takes at most 1 key, not {shape.k}"],
        )
    )
    asked = AttentionShape(1, 1, 4, 2, 2, requires_grad=True)
    words = r"1 windows of 4 tokens with 2 keys each, 1 heads of 2 channels, float32 on cpu, grad"
    reasons = r"not on cpu.*not float32.*no backward.*at most 1 key"
    with pytest.raises(ValueError, match=f"no backend can do {words}.*{reasons}"):
        choose_backend(asked, "picky")
    assert choose_backend(asked).name == "native"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda q, k, v, g, b: (q[:0], k[:0], v[:0], g, b), "non-empty"),
        (lambda q, k, v, g, b: (q, k[:, :1], v, g, b), "must agree"),
        (lambda q, k, v, g, b: (q, k.float(), v, g, b), "must agree"),
        (lambda q, k, v, g, b: (q.int(), k.int(), v.int(), g, b), "floating-point"),
        (lambda q, k, v, g, b: (q[:, :, :9], k[:, :, :9], v[:, :, :9], g, b), "16 tokens"),
        (lambda q, k, v, g, b: (q, k, v, g, b[:, 1:]), r"\[2, 7, 7\]"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        key_graph_attention(*change(*problem(2, 2, 16, 4, 5, bias=True)))


def test_bias_needs_a_square_window():
    q, k, v, graph, _ = problem(1, 2, 12, 4, 5)
    with pytest.raises(ValueError, match="N = 12"):
        key_graph_attention(q, k, v, graph, torch.zeros(2, 5, 5))


def test_graph_indices_must_be_int32():
    with pytest.raises(ValueError, match="int64"):
        KeyGraph(torch.zeros(1, 4, 2, dtype=torch.int64), 2)


@pytest.mark.parametrize(("device", "chosen"), [("cpu", "native"), ("cuda", "triton")])
def test_auto_takes_the_kernel_of_the_device(device, chosen):
    shape = AttentionShape(1, 2, 64, 8, 8, has_bias=True, device=device)
    assert choose_backend(shape).name == chosen


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("head_dim", [30, 32])
def test_fused_attention_keeps_no_scores_on_a_gpu(head_dim, dtype):
    nodes = 2048
    q, k, v = torch.randn(3, 1, 6, nodes, head_dim, device="cuda", dtype=dtype).unbind()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = attend_densely(q, k, v, None, head_dim**-0.5)
    held = torch.cuda.max_memory_allocated() - before
    assert held < 6 * nodes * nodes * q.element_size() / 4
    exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
    assert (out - exact).abs().max() <= 8 * torch.finfo(dtype).eps * v.abs().max()
    if dtype == torch.float32:  # in 16 bits idle multiprocessors share the keys in a workspace
        cost = dense_cost(AttentionShape(1, 6, nodes, head_dim, nodes, dtype, "cuda"))
        assert cost.peak_bytes == pytest.approx(held, rel=0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("backend", ["torch-mask", "torch-gather", "sdpa", "flex"])
def test_backends_agree_with_the_reference_on_a_gpu(backend):
    inputs = problem(2, 3, 144, 30, 20, bias=True, dtype=torch.float32)
    q, k, v, graph, table = (t.cuda() if torch.is_tensor(t) else t for t in inputs)
    graph = KeyGraph(graph.indices.cuda(), graph.requested_k)
    exact = key_graph_attention(
        q.double(), k.double(), v.double(), graph, table.double(), "reference"
    )
    found = key_graph_attention(q, k, v, graph, table, backend)
    assert (found - exact).abs().max() <= 3e-6
