from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from benchmarks.measure import problems
from benchmarks.measure.attention import measure_latency_cells
from benchmarks.measure.problems import (
    closed_form,
    gradient_errors,
    make_call,
    make_inputs,
    make_stage_call,
    photo_tokens,
    random_graph,
    reference_error,
    resolve_backend,
    shape_of,
    window_shape,
)
from kgt import KeyGraph, build_key_graph
from kgt.attention import Backend, choose_backend, get_backend, list_backends, registry
from kgt.attention.cost import Cost
from tests.benchmarks.making import make_cell

CELL = make_cell("latency", n=48, k=6, windows=2, heads=3, head_dim=5, graph="photo", byte_budget=0)


@pytest.mark.parametrize("graph", ["photo", "random"])
def test_equal_cells_give_equal_inputs_and_seeds_differ(graph):
    cell = CELL.model_copy(update={"graph": graph})
    first, second = make_inputs(cell), make_inputs(cell.model_copy())
    other = make_inputs(cell.model_copy(update={"seed": 1}))
    for name in ("q", "k", "v"):
        assert torch.equal(getattr(first, name), getattr(second, name))
        assert not torch.equal(getattr(first, name), getattr(other, name))
        assert getattr(first, name).shape == (2, 3, 48, 5)
    assert torch.equal(first.graph.indices, second.graph.indices)
    assert not torch.equal(first.graph.indices, other.graph.indices)
    assert first.digest() == second.digest() != other.digest()


def test_digest_covers_every_tensor():
    inputs = make_inputs(CELL)
    changed = [replace(inputs, **{name: getattr(inputs, name) + 1}) for name in ("q", "k", "v")]
    changed.append(replace(inputs, graph=make_inputs(CELL.model_copy(update={"k": 7})).graph))
    assert len({inputs.digest(), *(other.digest() for other in changed)}) == 5


@pytest.mark.parametrize("k", [1, 6, 48, 100])
@pytest.mark.parametrize("kind", ["photo", "random"])
def test_every_token_has_exactly_k_distinct_keys(kind, k):
    graph = make_inputs(CELL.model_copy(update={"graph": kind, "k": k})).graph
    assert isinstance(graph, KeyGraph)
    assert graph.indices.shape == (2, 48, min(k, 48))
    assert graph.degrees is None
    assert graph.clamped == (k > 48)
    assert (graph.to_mask().sum(-1) == min(k, 48)).all()


def test_photo_graph_is_that_of_the_tokens():
    tokens = photo_tokens(2, 48, seed=0)
    assert tokens.shape == (2, 48, 180)
    assert torch.equal(make_inputs(CELL).graph.indices, build_key_graph(tokens, 6).indices)
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(2, 48), atol=1e-5, rtol=0)
    assert not torch.equal(tokens[0], tokens[1])


def test_windows_of_the_same_photograph_differ():
    tokens = photo_tokens(12, 64)
    digests = {window.numpy().tobytes() for window in tokens}
    assert len(digests) == 12


def test_random_graph_takes_keys_uniformly():
    graph = random_graph(4, 64, 16, torch.Generator().manual_seed(0))
    in_degrees = graph.to_mask().sum(1).float()
    # Binomial with p = 1/4 and 64 trials: mean 16, standard deviation 3.5.
    assert in_degrees.mean() == 16
    assert 2.5 < in_degrees.std() < 4.5


@pytest.mark.parametrize(
    ("n", "shape"), [(2048, (32, 64)), (1024, (32, 32)), (257, (1, 257)), (1, (1, 1))]
)
def test_window_shape_is_the_most_nearly_square(n, shape):
    assert window_shape(n) == shape


def test_prime_n_is_a_window_of_one_row():
    assert make_inputs(CELL.model_copy(update={"n": 257})).graph.indices.shape == (2, 257, 6)


def test_window_larger_than_every_photograph_is_refused():
    with pytest.raises(ValueError, match=r"N = 1048576 is a window of 1024x1024.*random graphs"):
        photo_tokens(1, 2**20)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_reference_error_accepts_right_and_detects_wrong_outputs(dtype):
    cell = CELL.model_copy(update={"dtype": dtype})
    inputs = make_inputs(cell)
    out = make_call(inputs, "torch-gather", cell)()
    error, allowed = reference_error(inputs, out, "torch-gather")
    assert error <= allowed
    dense = make_call(inputs, "dense", cell)()
    error, allowed = reference_error(inputs, dense, "dense")
    assert error <= allowed
    for wrong in (dense, out.roll(1, dims=2), out * 1.5):
        error, allowed = reference_error(inputs, wrong, "torch-gather")
        assert error > allowed
    wrong = torch.where(torch.arange(48)[:, None] == 47, torch.nan, out)
    error, allowed = reference_error(inputs, wrong, "torch-gather")
    assert not error <= allowed


def test_dense_call_is_attention_to_every_token():
    inputs = make_inputs(CELL)
    scores = (inputs.q.double() @ inputs.k.double().mT / 5**0.5).softmax(-1)
    torch.testing.assert_close(
        make_call(inputs, "dense", CELL)().double(), scores @ inputs.v.double(), atol=1e-5, rtol=0
    )


def test_backward_call_computes_gradients_and_leaves_inputs_alone(monkeypatch):
    cell = CELL.model_copy(update={"mode": "backward"})
    inputs = make_inputs(cell)
    gradients = []
    backward = torch.Tensor.backward

    def spy(tensor, *arguments, **keywords):
        gradients.append(tensor.grad_fn is not None)
        return backward(tensor, *arguments, **keywords)

    monkeypatch.setattr(torch.Tensor, "backward", spy)
    out = make_call(inputs, "torch-mask", cell)()
    assert gradients == [True]
    assert not out.requires_grad
    assert not inputs.q.requires_grad
    assert inputs.q.grad is None
    assert not make_call(inputs, "torch-mask", CELL)().requires_grad
    torch.testing.assert_close(out, make_call(inputs, "torch-mask", CELL)())


def test_unknown_backend_lists_the_valid_ones():
    with pytest.raises(ValueError, match="unknown backend 'torch-magic'") as caught:
        make_call(make_inputs(CELL), "torch-magic", CELL)
    assert all(name in str(caught.value) for name in list_backends())


def test_backend_that_cannot_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="triton runs on cuda devices, not on cpu"):
        make_call(make_inputs(CELL), "triton", CELL)


def test_closed_form_follows_the_axes():
    gather = CELL.model_copy(update={"backend": "torch-gather"})
    twice = gather.model_copy(update={"k": 12})
    assert closed_form(twice).flops == 2 * closed_form(gather).flops
    dense = CELL.model_copy(update={"backend": "dense"})
    # Scores and weighted sum: 2 FLOP for each of W H N N D.
    assert closed_form(dense).flops == 4 * 2 * 3 * 48 * 48 * 5
    assert closed_form(gather.model_copy(update={"mode": "backward"})) is None


def test_inputs_are_what_pytorch_attends_to_with_a_mask():
    inputs = make_inputs(CELL)
    expected = F.scaled_dot_product_attention(
        inputs.q, inputs.k, inputs.v, attn_mask=inputs.graph.to_mask()[:, None]
    )
    torch.testing.assert_close(make_call(inputs, "torch-gather", CELL)(), expected)


BIASED = CELL.model_copy(update={"n": 49, "bias": True})


@pytest.mark.parametrize("backend", ["dense", "sdpa", "torch-gather"])
def test_bias_enters_the_scores_by_the_relative_offset(backend):
    inputs = make_inputs(BIASED)
    assert inputs.bias.shape == (3, 13, 13)
    scores = inputs.q.double() @ inputs.k.double().mT / 5**0.5
    for i in range(49):
        for j in range(49):
            scores[:, :, i, j] += inputs.bias[:, i // 7 - j // 7 + 6, i % 7 - j % 7 + 6]
    if backend != "dense":
        scores = scores.masked_fill(~inputs.graph.to_mask()[:, None], -torch.inf)
    out = make_call(inputs, backend, BIASED)()
    torch.testing.assert_close(
        out.double(), scores.softmax(-1) @ inputs.v.double(), rtol=0, atol=1e-5
    )


def test_bias_leaves_the_other_inputs_alone_and_enters_the_digest():
    plain, biased = make_inputs(BIASED.model_copy(update={"bias": None})), make_inputs(BIASED)
    for name in ("q", "k", "v"):
        assert torch.equal(getattr(plain, name), getattr(biased, name))
    assert plain.bias is None
    assert plain.digest() != biased.digest()


def test_bias_needs_a_square_window():
    with pytest.raises(ValueError, match="N = 48"):
        make_inputs(BIASED.model_copy(update={"n": 48}))


def test_dense_bias_is_expanded_once_without_and_at_every_call_with_gradients(monkeypatch):
    calls = []
    expand = problems.dense_bias
    monkeypatch.setattr(problems, "dense_bias", lambda *a: calls.append(a) or expand(*a))
    inputs = make_inputs(BIASED)
    call = make_call(inputs, "dense", BIASED)
    call(), call()
    assert len(calls) == 1
    backward = BIASED.model_copy(update={"mode": "backward"})
    call = make_call(make_inputs(backward), "dense", backward)
    call(), call()
    assert len(calls) == 3


BACKWARD = BIASED.model_copy(update={"mode": "backward"})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("backend", ["dense", "sdpa", "torch-mask", "torch-gather"])
@pytest.mark.parametrize("bias", [None, True])
def test_right_gradients_are_accepted(backend, dtype, bias):
    cell = BACKWARD.model_copy(update={"dtype": dtype, "bias": bias})
    errors = gradient_errors(make_inputs(cell), backend, cell)
    assert list(errors) == ["q", "k", "v", *(["bias"] if bias else [])]
    assert all(error <= allowed for error, allowed in errors.values())


@pytest.mark.parametrize("name", ["q", "k", "v", "bias"])
@pytest.mark.parametrize("fault", ["scaled", "absent"])
def test_a_wrong_gradient_is_found(name, fault, monkeypatch):
    attention = problems.key_graph_attention

    def attend(q, k, v, graph, bias, backend, byte_budget=None):
        tensors = {"q": q, "k": k, "v": v, "bias": bias}
        if backend == "sdpa":
            wrong = tensors[name]
            tensors[name] = (
                wrong.detach() if fault == "absent" else 1.1 * wrong - 0.1 * wrong.detach()
            )
        return attention(*list(tensors.values())[:3], graph, tensors["bias"], backend)

    monkeypatch.setattr(problems, "key_graph_attention", attend)
    errors = gradient_errors(make_inputs(BACKWARD), "sdpa", BACKWARD)
    assert [key for key, (error, allowed) in errors.items() if error > allowed] == [name]


@pytest.mark.parametrize("layers", [None, 1, 3])
def test_a_backend_that_derives_from_the_graph_is_called_for_a_stage(layers, monkeypatch):
    attention = problems.key_graph_attention
    derivations = []

    def attend(q, k, v, graph, bias, backend, byte_budget=None):
        if backend == "torch-mask":
            graph.derive(derivations.append)
        return attention(q, k, v, graph, bias, backend)

    monkeypatch.setattr(problems, "key_graph_attention", attend)
    cell = CELL.model_copy(update={"layers": layers})
    inputs = make_inputs(cell)
    sharing, plain, dense = (
        make_stage_call(inputs, name, cell) for name in ("torch-mask", "torch-gather", "dense")
    )
    assert sharing.layers == (layers or 6)
    assert (plain.layers, dense.layers) == (1, 1)
    derivations.clear()
    for _ in range(2):
        torch.testing.assert_close(sharing(), plain())
    # Once per stage, each time anew.
    assert len(derivations) == 2


def test_a_new_backend_is_measured_once_it_is_registered(monkeypatch):
    monkeypatch.setattr(registry, "_BACKENDS", dict(registry._BACKENDS))
    known = get_backend("torch-mask")
    registry.register(Backend("toy", known.attend, lambda shape: Cost(7 * shape.k, 1)))
    cell = CELL.model_copy(update={"backend": "toy", "baseline": "dense"})
    assert measure_latency_cells(([cell], 0.01))[0].backend == "toy"
    assert closed_form(cell) == Cost(42, 1)
    assert gradient_errors(make_inputs(BACKWARD), "toy", BACKWARD)


def test_auto_resolves_to_what_runs():
    assert resolve_backend(CELL, "auto") == choose_backend(shape_of(CELL)).name
    assert resolve_backend(CELL, "torch-mask") == "torch-mask"
    assert resolve_backend(CELL, "dense") == "dense"
