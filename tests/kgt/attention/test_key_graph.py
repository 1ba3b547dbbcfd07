"""Graphs made by hand or changed in place: seen by every backend, or refused, never read wildly."""

import copy

import pytest
import torch

from kgt import KeyGraph, build_key_graph, key_graph_attention
from kgt.attention.key_graph import PADDING

BACKENDS = ["reference", "torch-mask", "torch-gather", "sdpa", "native"]


def problem(k=4, dtype=torch.float32):
    q, key, v = torch.randn(3, 2, 2, 16, 8).to(dtype).unbind()
    return q, key, v, build_key_graph(torch.randn(2, 16, 5), k)


def exact(q, k, v, graph):
    """Dense attention with a mask that is read from the indices here and now."""
    mask = torch.zeros(graph.windows, graph.nodes, graph.nodes, dtype=torch.bool)
    for w, rows in enumerate(graph.indices.tolist()):
        for token, row in enumerate(rows):
            mask[w, token, [key for key in row if key >= 0]] = True
    scores = q.double() @ k.double().mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1) @ v.double()


def neighbors(graph):
    """Other keys than any that were chosen: 4 neighbors in the order of the tokens."""
    first = torch.arange(graph.nodes).clamp(max=graph.nodes - graph.k)
    return (first[:, None] + torch.arange(graph.k)).int().expand_as(graph.indices)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_indices_changed_in_place_are_the_new_ones(backend, inference):
    with torch.inference_mode(inference):
        q, k, v, graph = problem()
        key_graph_attention(q, k, v, graph, backend=backend)
        graph.indices.copy_(neighbors(graph))
        found = key_graph_attention(q, k, v, graph, backend=backend)
        torch.testing.assert_close(found.double(), exact(q, k, v, graph), rtol=0, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("k", [1, 4, 16])
def test_a_change_that_torch_does_not_count_is_refused_by_native(dtype, k):
    q, key, v, graph = problem(k, dtype)
    key_graph_attention(q, key, v, graph, backend="native")
    values = graph.indices.numpy()
    values[1, 5, -1] = values[1, 5, -1] - 1 if k == 1 else values[1, 5, 0] - 1
    with pytest.raises(ValueError, match="indices have changed since they were planned"):
        key_graph_attention(q, key, v, graph, backend="native")


@pytest.mark.parametrize("value", [16, 10**9, -2, -(2**31), 2**31 - 1])
@pytest.mark.parametrize("backend", BACKENDS)
def test_indices_changed_in_place_out_of_range_are_refused(backend, value):
    q, k, v, graph = problem()
    key_graph_attention(q, k, v, graph, backend=backend)
    graph.indices[1, 5, -1] = value
    with pytest.raises(ValueError, match="token 5 in window 1 must be ascending numbers of 0"):
        key_graph_attention(q, k, v, graph, backend=backend)


def test_indices_changed_between_forward_and_backward_are_refused():
    q, k, v, graph = problem()
    out = key_graph_attention(q.requires_grad_(), k, v, graph, backend="native")
    graph.indices.numpy()[:] = neighbors(graph).numpy()
    with pytest.raises(ValueError, match="changed since they were planned"):
        out.sum().backward()


def test_what_is_derived_in_inference_mode_serves_training():
    with torch.inference_mode():
        q, k, v, graph = problem()
        key_graph_attention(q, k, v, graph, backend="native")
        plan = graph.derived.copy()
    q, k, v = (t.clone().requires_grad_() for t in (q, k, v))
    key_graph_attention(q, k, v, graph, backend="native").sum().backward()
    assert graph.derived == plan
    assert q.grad.abs().sum() > 0


def test_a_copy_is_a_graph_of_its_own():
    q, k, v, graph = problem()
    key_graph_attention(q, k, v, graph, backend="native")
    other = copy.deepcopy(graph)
    other.indices.copy_(neighbors(graph))
    for each in (graph, other):
        found = key_graph_attention(q, k, v, each, backend="native")
        torch.testing.assert_close(found.double(), exact(q, k, v, each), rtol=0, atol=2e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("rows", "degrees"),
    [
        ([[0, 4]], None),
        ([[1, 0]], None),
        ([[1, 1]], None),
        ([[-2, 0]], None),
        ([[0, PADDING]], None),
        ([[PADDING, PADDING]], 0),
        ([[PADDING, 1]], 1),
        ([[0, 1]], 1),
        ([[0, 1]], 3),
    ],
)
def test_rows_that_are_none_are_refused(backend, rows, degrees):
    indices = torch.tensor([rows * 4]).int()
    degrees = None if degrees is None else torch.full((1, 4), degrees, dtype=torch.int32)
    q = torch.randn(1, 1, 4, 2)
    with pytest.raises(ValueError, match="token 0 in window 0 must be ascending numbers of 0 to 3"):
        key_graph_attention(q, q, q, KeyGraph(indices, 2, degrees), backend=backend)


INDICES = torch.tensor([[[0], [1]]]).int()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((INDICES.long(), 1), "non-empty int32 .*int64"),
        ((INDICES[0], 1), r"int32 \[W, N, K\], got torch.int32 \[2, 1\]"),
        ((INDICES[..., :0], 1), r"non-empty.*\[1, 2, 0\]"),
        ((INDICES, 2.5), "requested_k = 2.5: a token needs a whole number"),
        ((INDICES, True), "requested_k = True"),
        ((INDICES, 0), "requested_k = 0"),
        ((INDICES, 1, torch.ones(2).int()), r"degrees must be int32 \[1, 2\] on cpu, got .*\[2\]"),
        ((INDICES, 1, torch.ones(1, 2)), "degrees must be int32 .*float32"),
    ],
)
def test_fields_of_another_kind_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        KeyGraph(*arguments)


TOKENS = torch.randn(4, 9, 3)


@pytest.mark.parametrize("backend", ["torch", "native"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 2.5}, "k = 2.5: a token needs a whole number of keys, at least 1"),
        ({"k": True}, "k = True"),
        ({"k": "4"}, "k = '4'"),
        ({"regions": torch.zeros(0, 9).long()}, r"regions \[0, 9\] do not fit.*\[nW, 9\] with nW"),
        ({"regions": torch.zeros(2, 1, 9).long()}, r"regions \[2, 1, 9\] do not fit"),
        ({"regions": torch.zeros(9).long()}, r"regions \[9\] do not fit"),
        ({"regions": torch.zeros(3, 9).long()}, "nW dividing 4"),
        ({"regions": torch.zeros(2, 9)}, "regions must be integers on cpu, got torch.float32"),
    ],
)
def test_every_builder_refuses_alike(backend, options, message):
    with pytest.raises(ValueError, match=message):
        build_key_graph(TOKENS, **{"k": 2, "backend": backend} | options)


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int16, torch.int64])
def test_regions_may_be_of_any_whole_type(kind):
    regions = torch.arange(9)[None] // 5
    graphs = [
        build_key_graph(TOKENS, 5, regions=regions.to(dtype), backend=backend)
        for dtype in (torch.int64, kind)
        for backend in ("torch", "native")
    ]
    assert all(graph.indices.equal(graphs[0].indices) for graph in graphs)
