"""Calls of key-graph attention: outputs and gradients are within the contract of the backends.

An input is a call as JSON; its numbers come from a seed.
"""

import json

import torch
from hypothesis import strategies as st

from kgt.attention import AttentionCall, get_backend
from kgt.attention.bias import dense_bias
from kgt.attention.graph import build_key_graph
from kgt.attention.key_graph import PADDING, KeyGraph

SUFFIX = ".json"
CASES = 40  # of the test: a few seconds
_SQUARES = st.integers(1, 12).map(lambda side: side * side)
_LAYOUTS = ("contiguous", "merged", "strided", "last", "expanded", "cut")
_CALLS = st.fixed_dictionaries(
    {
        "backend": st.sampled_from(["native"] * 4 + ["torch-gather", "torch-mask", "sdpa"]),
        "dtype": st.sampled_from(["float32", "bfloat16"]),
        "windows": st.integers(1, 3),
        "heads": st.integers(1, 4),
        "nodes": _SQUARES | st.integers(1, 150),
        "head_dim": st.integers(1, 64),
        "k": st.integers(1, 40) | st.integers(1, 200),
        "graph": st.sampled_from(["dot", "cosine", "regions", "borders", "rows", "near", "padded"]),
        "bias": st.sampled_from(["none", "contiguous", "strided"]),
        "layouts": st.lists(st.sampled_from(_LAYOUTS), min_size=4, max_size=4),
        "size": st.sampled_from([0.1, 1.0]),
        "scale": st.none() | st.floats(0.01, 2),  # times 1 / sqrt(D)
        "byte_budget": st.sampled_from([None, 0, 2_000_000]),
        "threads": st.integers(1, 3),
        "seed": st.integers(0, 2**31),
    }
)
INPUTS = _CALLS.map(lambda call: json.dumps(call).encode())


def attempt(data, folder):
    call = json.loads(data)
    torch.manual_seed(call["seed"])
    inputs = _make_inputs(call)
    graph, dtype = _make_graph(call), getattr(torch, call["dtype"])
    before = torch.get_num_threads()
    torch.set_num_threads(call["threads"])
    try:
        found = _differentiate(inputs, lambda *t: _attend(call["backend"], call, graph, *t))
    except ValueError as error:  # no call here is to be refused
        raise AssertionError(error) from error
    finally:
        torch.set_num_threads(before)
    double = [None if t is None else t.double() for t in inputs]
    truth = _differentiate(double, lambda *t: _attend("reference", call, graph, *t))
    usual = _differentiate(inputs, lambda *t: _attend_plainly(call, graph, *t))
    largest = max(t.abs().max() for t in truth)
    of_scores = _measure_differences(call, graph, *double)
    for place, (exact, plain, ours) in enumerate(zip(truth, usual, found, strict=True)):
        assert ours.dtype == dtype
        size = max(largest, of_scores.get(place, 0))
        ulp = torch.finfo(dtype).eps * size
        allowed = 2 * (plain.double() - exact).abs().max() + 4 * ulp
        error = (ours.double() - exact).abs().max()
        assert error <= allowed, f"off by {error}, {allowed} is allowed"


def _measure_differences(call, graph, q, k, v, table, weights):
    """How large the numbers are whose differences are gradients of scores; by place in the results.

    A token with one key has no such gradient: plain torch then subtracts a number from itself,
    where kernels subtract two sums in different orders. The table's gradient adds up many.
    """
    products = _weigh(call, graph, q, k, table) * (weights @ v.mT).abs()
    sizes = {1: products.max(), 2: products.max()}
    if table is not None:
        leaf = table.detach().requires_grad_()
        (sums,) = torch.autograd.grad(dense_bias(leaf, graph.nodes), leaf, products.sum(0))
        sizes[4] = sums.max()
    return sizes


def _make_inputs(call):
    """q, k, v, the bias table or None, and weights of the outputs."""
    windows, heads, nodes, dim = (call[axis] for axis in ("windows", "heads", "nodes", "head_dim"))
    dtype = getattr(torch, call["dtype"])
    shape = (windows, heads, nodes, dim)
    # Where gradients cancel, their error is that of what was subtracted: it is of the size of the
    # others, as it is in the tests of the contract.
    numbers = [*(call["size"] * torch.randn(3, *shape)).unbind(), 2 * torch.rand(shape) - 1]
    q, k, v, weights = map(_lay_out, (t.to(dtype) for t in numbers), call["layouts"])
    side = round(nodes**0.5)
    table = None
    if call["bias"] != "none" and side * side == nodes:
        table = torch.randn(2 * side - 1, 2 * side - 1, heads).to(dtype).permute(2, 0, 1)
        table = table.contiguous() if call["bias"] == "contiguous" else table
    return q, k, v, table, weights


def _lay_out(t, layout):
    """The numbers of [W, H, N, D] in another place of memory."""
    if layout == "merged":
        return t.transpose(1, 2).contiguous().transpose(1, 2)
    if layout == "strided":
        return torch.stack([t, t], -1)[..., 1]
    if layout == "last":
        return t.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    if layout == "expanded":
        return t[:1].expand_as(t)
    if layout == "cut":
        return torch.cat([t, t, t], 2)[:, :, 1 : 1 + t.shape[2]]
    return t


def _make_graph(call):
    windows, nodes, kind = call["windows"], call["nodes"], call["graph"]
    k, tokens = min(call["k"], nodes), torch.randn(windows, nodes, 5)
    if kind in ("dot", "cosine"):
        return build_key_graph(tokens, call["k"], similarity=kind)
    if kind in ("regions", "borders"):
        count = 2 if kind == "regions" else 3 * windows * nodes
        regions = torch.randint(count, (1 if kind == "regions" else windows, nodes))
        return build_key_graph(tokens, call["k"], regions=regions)
    # Rows are anything, of neighbors that share most of their keys, or of fewer keys.
    noise = torch.rand(windows, nodes, nodes)
    if kind == "near":
        place = torch.arange(nodes, dtype=torch.float32)
        noise -= (place - place[:, None]).abs()
    rows = noise.topk(k).indices.sort(-1).values.int()
    if kind != "padded":
        return KeyGraph(rows, k)
    degrees = torch.randint(1, k + 1, (windows, nodes), dtype=torch.int32)
    rows[torch.arange(k) >= degrees[..., None]] = PADDING
    return KeyGraph(rows, k, degrees)


def _scale(call):
    return (call["scale"] or 1) * call["head_dim"] ** -0.5


def _attend(backend, call, graph, q, k, v, table):
    options = {"scale": _scale(call), "byte_budget": call["byte_budget"]}
    described = AttentionCall.describe(q, k, v, graph, table, **options)
    chosen = get_backend(backend)
    assert not chosen.unsupported_reasons(described.shape)
    return chosen.attend(described)


def _attend_plainly(call, graph, q, k, v, table):
    """Dense masked attention as anyone would write it."""
    return _weigh(call, graph, q, k, table) @ v


def _weigh(call, graph, q, k, table):
    scores = q @ k.mT * _scale(call)
    if table is not None:
        scores = scores + dense_bias(table, graph.nodes)
    return scores.masked_fill(~graph.to_mask()[:, None], -torch.inf).softmax(-1)


def _differentiate(inputs, attend):
    """The output, and the gradients of q, k, v and the table."""
    *tensors, weights = inputs
    leaves = [None if t is None else t.detach().requires_grad_() for t in tensors]
    out = attend(*leaves)
    grads = torch.autograd.grad(out, [t for t in leaves if t is not None], weights)
    return [out.detach(), *grads]
