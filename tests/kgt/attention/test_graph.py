import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kgt import KSampler, build_key_graph
from kgt.attention import graph as graph_module
from kgt.network.windows import cyclic_regions


def select_by_sorting(tokens, k, include_self=True, regions=None):
    """The rule in plain numpy float64: sort by (similarity descending, index ascending)."""
    tokens = tokens.double().numpy()
    chosen = []
    for w, window in enumerate(tokens):
        region = [0] * len(window) if regions is None else regions[w % len(regions)]
        similarity = window @ window.T
        rows = []
        for i in range(len(window)):
            candidates = [
                j for j in range(len(window)) if (include_self or j != i) and region[i] == region[j]
            ]
            candidates.sort(key=lambda j, i=i: (-similarity[i, j], j))
            rows.append(sorted(candidates[:k]))
        chosen.append(rows)
    return chosen


def rows_of(graph):
    return [[[j for j in row if j >= 0] for row in window] for window in graph.indices.tolist()]


@pytest.fixture(params=["torch", "native"])
def backend(request):
    return request.param


@settings(deadline=None, max_examples=60)
@given(
    backend=st.sampled_from(["torch", "native"]),
    seed=st.integers(0, 10_000),
    nodes=st.integers(2, 24),
    k=st.integers(1, 30),
    include_self=st.booleans(),
)
def test_selection_equals_sorting_with_many_ties(backend, seed, nodes, k, include_self):
    rng = np.random.default_rng(seed)
    # small integers make ties exact in every precision
    tokens = torch.from_numpy(rng.integers(-2, 3, size=(2, nodes, 3))).float()
    graph = build_key_graph(tokens, k, include_self=include_self, backend=backend)
    assert rows_of(graph) == select_by_sorting(tokens, k, include_self)
    assert graph.indices.dtype == torch.int32
    assert graph.degrees is None


def test_selection_of_real_valued_tokens_equals_sorting():
    tokens = torch.randn(3, 49, 16, dtype=torch.float64)
    assert rows_of(build_key_graph(tokens, 12)) == select_by_sorting(tokens, 12)


@pytest.mark.parametrize(
    ("windows", "nodes", "k"),
    [(10, 1024, 128), (2, 1100, 100), (1, 1500, 1500), (3, 333, 1)],
    ids=["10,000-rows", "larger-than-a-block", "all-keys", "one-key"],
)
@pytest.mark.parametrize("channels", [1, 3, 60])
def test_native_selects_the_same_sets_with_ties(windows, nodes, k, channels):
    # Small integers: similarities are exact, and the fewer channels the more of them are equal.
    tokens = torch.randint(-2, 3, (windows, nodes, channels)).float()
    graphs = [build_key_graph(tokens, k, backend=backend) for backend in ("torch", "native")]
    assert graphs[0].indices.equal(graphs[1].indices)


def test_native_selects_the_same_sets_of_real_values():
    # The similarities are sums in another order: where two are that close, either may be taken.
    tokens = torch.randn(4, 700, 180)
    ours = build_key_graph(tokens, 90, backend="native").to_mask()
    exact = build_key_graph(tokens.double(), 90, backend="torch").to_mask()
    similarity = tokens.double() @ tokens.double().mT
    kth = similarity.topk(90).values[..., -1:]
    assert ((similarity - kth).abs()[ours != exact] < 1e-3).all()
    assert (ours != exact).float().mean() < 1e-4


def test_native_refuses_what_it_cannot_build():
    tokens = torch.randn(1, 4, 2)
    with pytest.raises(ValueError, match=r"float32, not torch\.float64"):
        build_key_graph(tokens.double(), 2, backend="native")
    with pytest.raises(ValueError, match="auto, torch, native"):
        build_key_graph(tokens, 2, backend="numpy")
    assert build_key_graph(tokens.double(), 2).indices.shape == (1, 4, 2)


def test_a_token_keeps_itself_only_when_asked():
    tokens = torch.eye(8)[None]
    assert rows_of(build_key_graph(tokens, 1))[0] == [[i] for i in range(8)]
    without = rows_of(build_key_graph(tokens, 1, include_self=False))[0]
    assert all(i not in row for i, row in enumerate(without))


def test_k_above_the_window_is_clamped_and_recorded():
    graph = build_key_graph(torch.randn(1, 9, 4), 100)
    assert (graph.k, graph.requested_k, graph.clamped) == (9, 100, True)
    assert rows_of(graph)[0] == [list(range(9))] * 9
    assert build_key_graph(torch.randn(1, 9, 4), 100, include_self=False).k == 8


def test_regions_limit_the_candidates_and_pad_short_rows(backend):
    regions = cyclic_regions(8, 8, 4, 2, 2, torch.device("cpu"))
    tokens = torch.randint(-3, 4, (8, 16, 5)).float()
    graph = build_key_graph(tokens, 6, regions=regions, backend=backend)
    assert rows_of(graph) == select_by_sorting(tokens, 6, regions=regions.tolist())
    assert graph.degrees.tolist() == [[len(row) for row in window] for window in rows_of(graph)]
    assert graph.degrees.min() == 4  # the corner window has four regions of 2x2 tokens
    assert (graph.indices >= 0).sum(-1).equal(graph.degrees.long())


def test_mask_holds_exactly_the_edges():
    graph = build_key_graph(torch.randn(2, 16, 4), 5, regions=torch.arange(16)[None] // 4)
    mask = graph.to_mask()
    assert [[row.nonzero().flatten().tolist() for row in window] for window in mask] == rows_of(
        graph
    )


def test_chunks_do_not_change_the_graph(monkeypatch):
    tokens, regions = torch.randn(6, 16, 4), torch.arange(48).view(3, 16) // 5
    whole = build_key_graph(tokens, 4, regions=regions, backend="torch")
    monkeypatch.setattr(graph_module, "_SIMILARITY_BYTES", 1)
    chunks = build_key_graph(tokens, 4, regions=regions, backend="torch")
    assert chunks.indices.equal(whole.indices)


def test_cosine_ignores_length_and_dot_does_not():
    tokens = torch.randn(1, 25, 6)
    longer = tokens * torch.rand(1, 25, 1).add(0.5)
    cosine = [build_key_graph(t, 5, similarity="cosine").indices for t in (tokens, longer)]
    dot = [build_key_graph(t, 5).indices for t in (tokens, longer)]
    assert cosine[0].equal(cosine[1])
    assert not dot[0].equal(dot[1])


def test_autocast_does_not_touch_the_similarity(backend):
    tokens = torch.randn(2, 64, 32)
    expected = build_key_graph(tokens, 7, backend=backend).indices
    with torch.autocast("cpu", torch.bfloat16):
        assert build_key_graph(tokens, 7, backend=backend).indices.equal(expected)


def test_no_gradient_flows_through_the_graph():
    tokens = torch.randn(1, 9, 4, requires_grad=True)
    assert not build_key_graph(tokens, 3).indices.requires_grad


@pytest.mark.parametrize(
    ("tokens", "arguments", "message"),
    [
        (torch.randn(1, 4, 2), {"k": 0}, "k = 0"),
        (torch.randn(0, 4, 2), {"k": 1}, "non-empty"),
        (torch.randn(4, 2), {"k": 1}, r"\[4, 2\]"),
        (torch.full((1, 4, 2), float("nan")), {"k": 1}, "NaN"),
        (torch.ones(1, 4, 2, dtype=torch.int64), {"k": 1}, "int64"),
        (torch.randn(1, 4, 2), {"k": 1, "similarity": "l2"}, "dot, cosine"),
        (torch.randn(3, 4, 2), {"k": 1, "regions": torch.zeros(2, 4)}, "do not fit"),
        (torch.randn(1, 1, 2), {"k": 1, "include_self": False}, "1 token"),
        (
            torch.randn(1, 3, 2),
            {"k": 1, "include_self": False, "regions": torch.tensor([[0, 0, 1]])},
            "only itself",
        ),
    ],
)
def test_bad_input_is_named(tokens, arguments, message):
    with pytest.raises(ValueError, match=message):
        build_key_graph(tokens, **arguments)


def test_sampled_k_depends_on_seed_and_step_alone():
    sampler = KSampler(seed=3)
    draws = [sampler.draw(step) for step in range(600)]
    assert draws == [KSampler(seed=3).draw(step) for step in range(600)]
    assert draws != [KSampler(seed=4).draw(step) for step in range(600)]
    counts = [draws.count(choice) for choice in sampler.choices]
    assert sum(counts) == 600
    assert min(counts) > 60  # uniform: 100 each, six standard deviations are 55
    with pytest.raises(ValueError, match="at least 1"):
        KSampler(choices=(0, 4))
