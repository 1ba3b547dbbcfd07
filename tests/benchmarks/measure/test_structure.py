import pytest
import torch

from benchmarks.measure.problems import random_graph
from benchmarks.measure.structure import (
    count_queries_per_key,
    describe_structure,
    largest_in_degree,
    measure_overlap,
    overlap,
    union_over_k,
    unused_share,
)
from kgt import KeyGraph, build_key_graph, create_model
from kgt.network.windows import partition_windows

# Queries 0-3 of window 0 choose 0 and one more; window 1 is a ring.
SMALL = KeyGraph(
    torch.tensor([[[0, 1], [0, 1], [0, 2], [0, 1]], [[0, 1], [1, 2], [2, 3], [0, 3]]]).int(), 2
)


@pytest.fixture(params=["dot", "borders"])
def graph(request):
    regions = torch.arange(40)[None] // 13 if request.param == "borders" else None
    return build_key_graph(torch.randn(3, 40, 6), 9, regions=regions)


def key_sets(graph):
    return [[{j for j in row if j >= 0} for row in rows] for rows in graph.indices.tolist()]


def test_small_graph_by_hand():
    assert count_queries_per_key(SMALL).tolist() == [[4, 3, 1, 0], [2, 2, 2, 2]]
    assert largest_in_degree(SMALL) == (4 / 4 + 2 / 4) / 2
    assert unused_share(SMALL) == 1 / 8
    # Pairs of window 0: {0,1}, {0,1,2}; of window 1: {0,1,2}, {0,2,3}. Divided by K = 2.
    assert union_over_k(SMALL, 2) == (2 + 3 + 3 + 3) / 4 / 2
    assert union_over_k(SMALL, 4) == union_over_k(SMALL, 99) == (3 + 4) / 2 / 2
    # Of 4 nodes one group of 3 is whole: {0,1,2} and {0,1,2,3}.
    assert union_over_k(SMALL, 3) == (3 + 4) / 2 / 2


def test_every_figure_is_that_of_loops_over_sets(graph):
    sets = key_sets(graph)
    chosen = [[sum(j in keys for keys in window) for j in range(40)] for window in sets]
    assert count_queries_per_key(graph).tolist() == chosen
    expected = {
        "largest_in_degree": sum(max(counts) for counts in chosen) / 3 / 40,
        "nobodys_key": sum(count == 0 for counts in chosen for count in counts) / 120,
    }
    for size in (4, 8, 16, 64):
        length = min(size, 40)
        unions = [
            len(set().union(*window[start : start + length]))
            for window in sets
            for start in range(0, 40 - length + 1, length)
        ]
        expected[f"union_{size}_over_k"] = sum(unions) / len(unions) / graph.k
    assert describe_structure(graph) == pytest.approx(expected, rel=1e-12)


def test_random_keys_are_shared_by_chance_only():
    graph = random_graph(8, 256, 32, torch.Generator().manual_seed(0))
    for queries in (4, 16):
        by_chance = 256 / 32 * (1 - (1 - 32 / 256) ** queries)
        assert union_over_k(graph, queries) == pytest.approx(by_chance, rel=0.02)
    assert unused_share(graph) == 0


def test_overlap_by_hand():
    ring = KeyGraph(SMALL.indices[[1, 1]], 2)
    assert overlap(SMALL, SMALL) == 1
    # Window 0 shares {0,1}, {1}, {2} and {0} with the ring, window 1 everything.
    assert overlap(SMALL, ring) == overlap(ring, SMALL) == pytest.approx((5 + 8) / 16)


def make_network(**fields):
    """Two stages of three layers in windows of 8x8, of which the second is shifted."""
    fields = {"window": 8, "k": 9, "depths": (3, 3), **fields}
    return create_model("kgt-tiny-x2", **fields).eval()


@pytest.mark.parametrize("fields", [{"k": 64}, {"similarity": "nearest"}])
def test_a_graph_that_no_token_changes_does_not_age(fields):
    by_depth = measure_overlap(make_network(**fields), [torch.rand(1, 3, 16, 16)])
    assert by_depth == [1, 1, 1]


@pytest.mark.parametrize("scope", ["stage", "layer"])
def test_overlap_is_that_of_the_graph_of_each_layers_input(scope):
    network, image = make_network(graph_scope=scope, window_offset="none"), torch.rand(1, 3, 16, 16)
    output = network(image)
    by_depth = measure_overlap(network, [image])
    # By hand: through the stages, layer by layer.
    x = network.norm_in(network.conv_in(image - network.mean).permute(0, 2, 3, 1))
    shares = []
    with torch.no_grad():
        for stage in network.stages:
            tokens = partition_windows(x, 8)
            first = graph = build_key_graph(tokens, 9)
            own = []
            for layer in stage.layers:
                new = build_key_graph(tokens, 9)
                own.append(overlap(first, new))
                tokens = layer(tokens, new if scope == "layer" else graph)
            shares.append(own)
            x = stage(x)
    assert by_depth == pytest.approx([sum(own) / 2 for own in zip(*shares, strict=True)])
    assert by_depth[0] == 1 > by_depth[1] > 0
    # It is watched, and not changed.
    assert torch.equal(network(image), output)
    assert all("connect" not in vars(stage) for stage in network.stages)


def test_overlap_of_several_images_is_their_mean():
    network = make_network()
    images = [torch.rand(1, 3, 16, 16) for _ in range(2)]
    each = [measure_overlap(network, [image]) for image in images]
    both = measure_overlap(network, images)
    assert both == pytest.approx([sum(own) / 2 for own in zip(*each, strict=True)])
