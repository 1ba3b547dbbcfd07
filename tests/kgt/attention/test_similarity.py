import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kgt
from kgt import build_key_graph
from kgt.attention.similarity import OF_SQUARE_WINDOWS, SIMILARITIES

SIDE, WINDOWS, CHANNELS = 7, 2, 5


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def _squared_distances(rows):
    return ((rows[:, None] - rows[None]) ** 2).sum(-1)


def similar(name, tokens):
    """Of all pairs of one window [N, C], how alike they are; plainly, in float64."""
    side = int(len(tokens) ** 0.5)
    places = np.array([(row, column) for row in range(side) for column in range(side)])
    centered = tokens - tokens.mean(0)
    return {
        "dot": lambda: tokens @ tokens.T,
        "cosine": lambda: _unit(tokens) @ _unit(tokens).T,
        "correlation": lambda: _unit(centered) @ _unit(centered).T,
        "euclidean": lambda: -_squared_distances(tokens),
        "bilateral": lambda: _unit(tokens) @ _unit(tokens).T - _squared_distances(places) / side**2,
        "nearest": lambda: -_squared_distances(places),
    }[name]()


def select(similarity, k):
    """The numbers of the k largest of each row, ties to the smaller."""
    order = np.lexsort((np.broadcast_to(np.arange(len(similarity)), similarity.shape), -similarity))
    return np.sort(order[:, :k])


@pytest.mark.parametrize("name", sorted({*SIMILARITIES} - {"random"}))
def test_keys_are_the_most_similar_tokens(name):
    tokens = torch.randn(WINDOWS, SIDE**2, CHANNELS, dtype=torch.float64)
    found = build_key_graph(tokens, 9, similarity=name).indices
    expected = [select(similar(name, window.numpy()), 9) for window in tokens]
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(["dot", "euclidean", "nearest"]),
    backend=st.sampled_from(["torch", "native"]),
    side=st.integers(1, 6),
    k=st.integers(1, 36),
    seed=st.integers(0, 10_000),
)
def test_ties_go_to_the_smaller_number(name, backend, side, k, seed):
    # Small integers: what is summed is exact, and much of it is equal.
    tokens = np.random.default_rng(seed).integers(-2, 3, size=(1, side**2, 3))
    graph = build_key_graph(torch.from_numpy(tokens).float(), k, similarity=name, backend=backend)
    np.testing.assert_array_equal(graph.indices[0], select(similar(name, tokens[0]), k))


@pytest.mark.parametrize("name", SIMILARITIES)
def test_native_selects_what_torch_selects(name):
    tokens = torch.randn(3, 24**2, 40)
    regions = torch.arange(24**2)[None] // 24 // 12
    ours, theirs = (
        build_key_graph(tokens, 60, similarity=name, regions=regions, backend=backend).to_mask()
        for backend in ("native", "torch")
    )
    # Sums in another order: where two similarities are that close, either may be taken.
    assert (ours != theirs).float().mean() < 1e-4
    assert not ours[:, : 24 * 12, 24 * 12 :].any()


@pytest.mark.parametrize("name", ["nearest", "random"])
def test_controls_do_not_look_at_the_tokens(name):
    tokens = torch.randn(2, 2, 64, 8)
    left, right = (build_key_graph(t, 7, similarity=name).indices for t in tokens)
    assert left.equal(right)
    assert left[0].equal(left[1])


def test_random_keys_are_as_often_near_as_far_and_nobody_is_a_hub():
    side, k = 32, 64
    mask = build_key_graph(torch.ones(1, side**2, 1), k, similarity="random").to_mask()[0]
    others = mask & ~torch.eye(side**2, dtype=torch.bool)
    squared = -torch.from_numpy(similar("nearest", np.ones((side**2, 1))))
    near, far = (others[where].float().mean() for where in (squared < 64, squared > 400))
    assert abs(near / far - 1) < 0.05
    assert 20 < mask.sum(0).min() <= mask.sum(0).max() < 140


def test_correlation_ignores_what_all_tokens_share():
    tokens = torch.randn(1, 49, 6, dtype=torch.float64)
    same, other = (
        [
            build_key_graph(t, 5, similarity=name).indices
            for t in (tokens, 3 * tokens + torch.arange(6.0))
        ]
        for name in ("correlation", "cosine")
    )
    assert same[0].equal(same[1])
    assert not other[0].equal(other[1])


@pytest.mark.parametrize("name", OF_SQUARE_WINDOWS)
def test_places_need_a_square_window(name):
    with pytest.raises(ValueError, match="48 tokens have no places"):
        build_key_graph(torch.randn(1, 48, 3), 4, similarity=name)


def test_tokens_whose_square_is_infinite_are_refused():
    with pytest.raises(ValueError, match="infinite"):
        build_key_graph(torch.full((1, 4, 3), 1e30), 2, similarity="euclidean")


@pytest.mark.parametrize("name", sorted({*SIMILARITIES} - {"dot", "cosine"}))
def test_networks_take_any_similarity_and_compile(name):
    network = kgt.create_model("kgt-tiny-denoise-color", similarity=name, k=20).eval()
    image = torch.rand(1, 3, 64, 64)
    torch._dynamo.reset()
    with torch.no_grad():
        plain, compiled = (
            network(image),
            torch.compile(network, fullgraph=True, backend="eager")(image),
        )
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-4)
    torch._dynamo.reset()
