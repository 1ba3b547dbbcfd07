import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kgt import build_key_graph, key_graph_attention
from kgt.attention import AttentionCall, AttentionShape, choose_backend, get_backend
from kgt.attention.bias import dense_bias
from kgt.attention.key_graph import KeyGraph
from kgt.attention.native import load_operators, loader
from kgt.attention.native.backend import plan_groups

LOG2_E = 1.4426950408889634
ROOT = Path(__file__).parents[3]
SHAPES = [
    # windows, heads, nodes, head dimension, k
    (3, 2, 1024, 30, 100),  # by gathers; k is no multiple of a register
    (1, 2, 1024, 30, 500),  # by tiles, several blocks of keys, the last one not full
    (1, 1, 1024, 30, 1024),
    (2, 2, 1024, 8, 400),  # two rows to a register, by tiles
    (1, 2, 400, 8, 20),  # the same, by gathers
    (2, 2, 64, 6, 64),  # a window of few blocks
    (1, 2, 144, 14, 90),
    (2, 3, 100, 33, 20),  # neither tokens nor dimensions fill their last group
    (1, 2, 5, 64, 2),
    (1, 1, 1, 1, 1),
]


def inputs(windows, heads, nodes, dim, k, dtype=torch.float32):
    graph = build_key_graph(torch.randn(windows, nodes, 8), k)
    q, key, v = torch.randn(3, windows, heads, nodes, dim).to(dtype).unbind()
    return q, key, v, graph


def results(backend, q, k, v, graph, table=None):
    leaves = [t.detach().requires_grad_() for t in (q, k, v, table) if t is not None]
    out = key_graph_attention(*leaves[:3], graph, *leaves[3:], backend=backend)
    weights = torch.linspace(-1, 1, out.numel()).view(out.shape).to(out.dtype)
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), leaves)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("has_bias", [False, True])
def test_equals_torch_mask_in_float64(shape, has_bias):
    q, k, v, graph = inputs(*shape)
    side = 2 * round(shape[2] ** 0.5) - 1
    if has_bias and round(shape[2] ** 0.5) ** 2 != shape[2]:
        pytest.skip("a position bias needs a square window")
    table = torch.randn(shape[1], side, side) if has_bias else None
    double = [None if t is None else t.double() for t in (q, k, v)]
    truth = results("torch-mask", *double, graph, None if table is None else table.double())
    for exact, ours in zip(truth, results("native", q, k, v, graph, table), strict=True):
        assert (ours - exact).abs().max() <= 2e-6 * exact.abs().max() + 1e-6


def test_results_do_not_depend_on_the_number_of_threads():
    q, k, v, graph = inputs(2, 3, 49, 10, 9)
    table = torch.randn(3, 13, 13)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        found.append(results("native", q, k, v, graph, table))
    torch.set_num_threads(before)
    assert all(a.equal(b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def neighbors(windows, nodes, k):
    """Rows of k consecutive tokens, so that the queries of a group share most keys."""
    first = (torch.arange(nodes) - k // 2).clamp(0, nodes - k)
    return (first[:, None] + torch.arange(k)).int().expand(windows, -1, -1).contiguous()


def amx_or_skip():
    load_operators()
    if not torch.ops.kgt.amx_available():
        pytest.skip("this processor or operating system has no AMX in bfloat16")


HALF_SHAPES = [
    *SHAPES,
    (2, 2, 49, 30, 20),  # raster order; the last group has one query
    (2, 2, 64, 30, 20),  # blocks of 4 x 4
    (1, 2, 64, 32, 1),  # one key; dimensions fill their tiles
    (1, 2, 64, 64, 33),  # one key more than a step
]


@pytest.mark.parametrize("shape", HALF_SHAPES)
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_the_matrix_unit_is_as_exact_as_bfloat16_allows(shape, has_bias, padded):
    amx_or_skip()
    windows, heads, nodes, dim, k = shape
    side = round(nodes**0.5)
    if has_bias and side**2 != nodes:
        pytest.skip("a position bias needs a square window")
    q, key, v = torch.randn(3, windows, heads, nodes, dim).bfloat16().unbind()
    rows = neighbors(windows, nodes, k)
    if padded:
        rows[:, ::3, 1 + k // 2 :] = -1
    graph = KeyGraph(rows, k, (rows >= 0).sum(-1).int())
    table = torch.randn(heads, 2 * side - 1, 2 * side - 1) if has_bias else None
    out, logsumexp = torch.ops.kgt.attention_forward(
        q, key, v, rows, torch.ops.kgt.plan_attention(rows), table, 0.3
    )
    scores = q.double() @ key.double().mT * 0.3
    if has_bias:
        scores += dense_bias(table.double(), nodes)
    scores = scores.masked_fill(~graph.to_mask()[:, None], -torch.inf)
    # Weights and the result are each rounded by at most half a unit in the last place.
    allowed = torch.finfo(torch.bfloat16).eps * (scores.softmax(-1) @ v.double().abs())
    assert ((out - scores.softmax(-1) @ v.double()).abs() <= 1.02 * allowed).all()
    exact = scores.logsumexp(-1) * LOG2_E
    assert (logsumexp - exact).abs().max() <= torch.finfo(torch.bfloat16).eps


def test_the_matrix_unit_is_used_where_queries_share_keys():
    amx_or_skip()
    q, k, v = torch.randn(3, 1, 2, 64, 30).bfloat16().unbind()
    for rows, same in (
        (neighbors(1, 64, 20), False),
        (torch.randperm(64).view(1, 64, 1).int(), True),  # no two queries share a key
    ):
        plan = torch.ops.kgt.plan_attention(rows)
        half = torch.ops.kgt.attention_forward(q, k, v, rows, plan, None, 1.0)[1]
        floats = [t.float() for t in (q, k, v)]
        exact = torch.ops.kgt.attention_forward(*floats, rows, plan, None, 1.0)[1]
        assert half.equal(exact) == same


def test_bfloat16_does_not_depend_on_the_number_of_threads():
    q, k, v, _ = inputs(2, 3, 49, 10, 9, torch.bfloat16)
    rows, table = neighbors(2, 49, 20), torch.randn(3, 13, 13)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        found.append(results("native", q, k, v, KeyGraph(rows, 20), table.bfloat16()))
    torch.set_num_threads(before)
    assert all(a.equal(b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize(
    "rows",
    [[[0, 4], [0, 1], [1, 2], [2, 3]], [[1, 0], [0, 1], [1, 2], [2, 3]], [[-2, 0]] * 4,
     [[-1, 0]] * 4, [[-1, -1]] * 4, [[1, 1]] * 4],
    ids=["too-large", "descending", "negative", "padding-first", "empty", "twice"],
)  # fmt: skip
def test_indices_that_are_no_graph_are_refused(rows):
    q = torch.randn(1, 1, 4, 2)
    with pytest.raises(ValueError, match="token 0 in window 0 must be ascending numbers of 0 to 3"):
        key_graph_attention(q, q, q, KeyGraph(torch.tensor([rows]).int(), 2), backend="native")


def test_operators_refuse_what_does_not_fit():
    q, k, v, graph = inputs(2, 2, 16, 4, 3)
    key_graph_attention(q, k, v, graph, backend="native")
    plan = torch.ops.kgt.plan_attention(graph.indices)
    forward = torch.ops.kgt.attention_forward
    with pytest.raises(ValueError, match="one shape"):
        forward(q, k[:1], v, graph.indices, plan, None, 1.0)
    with pytest.raises(ValueError, match="2 windows of 16 nodes"):
        forward(q, k, v, graph.indices[:1].contiguous(), plan, None, 1.0)
    with pytest.raises(ValueError, match="contiguous, non-empty int32"):
        forward(q, k, v, graph.indices.long(), plan, None, 1.0)
    with pytest.raises(ValueError, match="non-empty int32"):
        forward(q, k, v, graph.indices[..., :0].contiguous(), plan, None, 1.0)
    with pytest.raises(ValueError, match="int32 of at least 6 numbers"):
        forward(q, k, v, graph.indices, plan[:5], None, 1.0)
    with pytest.raises(ValueError, match="made for another graph"):
        forward(q, k, v, graph.indices, plan[:6] + 1, None, 1.0)
    with pytest.raises(ValueError, match=r"\[H, 2M-1, 2M-1\]"):
        forward(q, k, v, graph.indices, plan, torch.zeros(2, 5, 5), 1.0)
    with pytest.raises(ValueError, match="all be float32 or all bfloat16"):
        forward(q.double(), k.double(), v.double(), graph.indices, plan, None, 1.0)


def test_the_plan_is_made_once_per_graph():
    q, k, v, graph = inputs(2, 2, 64, 4, 20)
    key_graph_attention(q, k, v, graph, backend="native")
    plan = graph.derived[plan_groups]
    key_graph_attention(k, q, v, graph, backend="native")
    assert graph.derived[plan_groups] is plan


def test_what_is_too_large_is_a_reason():
    wide = AttentionShape(1, 1, 4, 65, 2)
    long = AttentionShape(1, 1, 65_536, 30, 2)
    for asked, reason in ((wide, "at most 64, not 65"), (long, "at most 65,535 tokens")):
        with pytest.raises(ValueError, match=reason):
            choose_backend(asked, "native")
        assert choose_backend(asked).name == "sdpa"


def test_counted_flops_are_those_of_the_edges():
    q, k, v, graph = inputs(2, 3, 16, 5, 7)
    q.requires_grad_()
    with FlopCounterMode(display=False) as counter:
        out = key_graph_attention(q, k, v, graph, backend="native")
        forward = counter.get_total_flops()
        out.sum().backward()
    assert forward == get_backend("native").cost(AttentionCall.describe(q, k, v, graph).shape).flops
    assert counter.get_total_flops() == forward * 7 // 2


# In a process of its own: operators of one name are loaded once.
CHECK = """
import sys, torch
torch.ops.load_library(sys.argv[1])
sys.path.insert(0, sys.argv[2])
from kgt.attention.bias import dense_bias

def worst_error(side, count):
    torch.manual_seed(0)
    nodes = side * side
    indices = torch.rand(2, nodes, nodes).topk(count).indices.sort(-1).values.int()
    q, k, v = (t.requires_grad_() for t in torch.randn(3, 2, 3, nodes, 30))
    bias = torch.randn(3, 2 * side - 1, 2 * side - 1)
    plan = torch.ops.kgt.plan_attention(indices)
    out, logsumexp = torch.ops.kgt.attention_forward(q, k, v, indices, plan, bias, 0.2)
    grads = torch.ops.kgt.attention_backward(
        torch.ones_like(out), q, k, v, indices, plan, bias, out, logsumexp, 0.2)
    mask = torch.full((2, 1, nodes, nodes), -torch.inf).scatter(-1, indices.long()[:, None], 0.0)
    table = bias.double().requires_grad_()
    double = [t.detach().double().requires_grad_() for t in (q, k, v)]
    scores = double[0] @ double[1].mT * 0.2 + dense_bias(table, nodes) + mask
    truth = scores.softmax(-1) @ double[2]
    truth.sum().backward()
    pairs = zip((out, *grads), (truth, *(t.grad for t in (*double, table))))
    return max((a - b).abs().max().item() for a, b in pairs)

# By gathers where keys are few and by tiles where they are many; only 8 x 8 is cut in blocks.
sys.exit(any(worst_error(*case) > 2e-5 for case in ((7, 2), (7, 9), (7, 40), (8, 9), (8, 50))))
"""


# Those of 4, 8 and 16 lanes; each compiles for a minute.
VARIANTS = {
    "generic": (),
    "avx2": ("-mavx2", "-mfma"),
    # The code for AVX-512 on whatever this processor has.
    "16-lanes": ("-march=native", "-DKGT_LANES=16", "-Wno-psabi"),
}


@pytest.mark.slow
@pytest.mark.parametrize("flags", VARIANTS.values(), ids=VARIANTS)
def test_other_instruction_sets_compute_the_same(flags):
    capability = torch.backends.cpu.get_cpu_capability()
    if "-mavx2" in flags and capability == "DEFAULT":
        pytest.skip("this processor has no AVX2")
    if "-mavx2" in flags and capability == "AVX2":
        pytest.skip("all other tests run this code here")
    library = loader.compile_library(flags)
    run = subprocess.run(
        [sys.executable, "-c", CHECK, str(library), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
