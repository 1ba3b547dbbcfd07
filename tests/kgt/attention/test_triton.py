import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kgt import build_key_graph, key_graph_attention
from kgt.attention import AttentionCall, AttentionShape, get_backend
from kgt.attention.key_graph import KeyGraph
from kgt.attention.triton.backend import attend_with, choose_kernel
from kgt.attention.triton.tiling import SLOTS, TILE, invert, order_tokens, tile_keys, tile_queries

ROOT = Path(__file__).parents[3]
REGIONS = torch.arange(70)[None] // 6
GRAPHS = [
    build_key_graph(torch.randn(2, nodes, 5), k, regions=regions, backend="torch")
    for nodes, k, regions in ((70, 1, None), (70, 8, REGIONS), (81, 9, None), (81, 81, None))
]


@pytest.mark.slow
def test_kernels_equal_the_reference_in_the_interpreter():
    pytest.importorskip("triton")
    script = Path(__file__).with_name("triton_interpreted.py")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_importing_the_package_does_not_import_the_kernels():
    code = "import sys, kgt; sys.exit('kgt.attention.triton.parts' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT)})


def test_without_a_gpu_it_says_what_it_needs():
    q = torch.randn(1, 1, 4, 2)
    graph = build_key_graph(torch.randn(1, 4, 3), 2)
    with pytest.raises(ValueError, match="triton runs on cuda devices, not on cpu"):
        key_graph_attention(q, q, q, graph, backend="triton")


def test_what_is_too_large_is_a_reason():
    reasons = get_backend("triton").unsupported_reasons
    pytest.importorskip("triton")
    assert reasons(AttentionShape(1, 1, 4, 64, 2, device="cuda", requires_grad=True)) == []
    assert "at most 64, not 65" in reasons(AttentionShape(1, 1, 4, 65, 2, device="cuda"))[0]
    assert "at most 32,768" in reasons(AttentionShape(1, 1, 32_769, 9, 2, device="cuda"))[0]


def test_an_unknown_kernel_is_refused():
    q = torch.randn(1, 1, 4, 2)
    with pytest.raises(ValueError, match="unknown kernel 'scan'; valid: gather, tile"):
        attend_with("scan", AttentionCall.describe(q, q, q, build_key_graph(q[0], 2)))


@pytest.mark.parametrize("graph", GRAPHS)
def test_inverse_lists_the_queries_of_every_key(graph):
    inverse = invert(graph)
    assert {t.dtype for t in inverse} == {torch.int32}
    for w, rows in enumerate(graph.indices.tolist()):
        offsets = inverse.offsets[w].tolist()
        for key in range(graph.nodes):
            expected = [query for query, row in enumerate(rows) if key in row]
            assert inverse.queries[w, offsets[key] : offsets[key + 1]].tolist() == expected


def _pairs(tiles):
    """Every (window, token of a tile, token of its union) with a bit, spelled out."""
    pairs = []
    order, *rest = (t.tolist() for t in tiles)
    for w, (unions, words, counts) in enumerate(zip(*rest, strict=True)):
        for tile, (union, word, count) in enumerate(zip(unions, words, counts, strict=True)):
            assert all(word[:count])
            assert not any(word[count:])
            assert union[:count] == sorted(set(union[:count]))
            pairs += [
                (w, order[TILE * tile + t], other)
                for other, bits in zip(union[:count], word, strict=False)
                for t in range(TILE)
                if bits >> t & 1
            ]
    return pairs


@pytest.mark.parametrize("graph", GRAPHS)
def test_tiles_hold_the_edges_and_nothing_else(graph):
    edges = [
        (w, query, key)
        for w, rows in enumerate(graph.indices.tolist())
        for query, row in enumerate(rows)
        for key in row
        if key >= 0
    ]
    for tiles, expected in (
        (tile_keys(graph), edges),
        (tile_queries(graph), [(w, key, query) for w, query, key in edges]),
    ):
        assert tiles.union.shape == tiles.words.shape
        assert tiles.union.shape[:2] == tiles.counts.shape == (2, 3)
        assert tiles.union.shape[2] % SLOTS == 0
        assert tiles.union.min() >= 0
        assert tiles.union.max() < graph.nodes
        assert sorted(_pairs(tiles)) == sorted(expected)


@pytest.mark.parametrize("derive", [invert, tile_keys, tile_queries])
def test_what_is_derived_in_inference_mode_serves_training(derive):
    with torch.inference_mode():
        derived = GRAPHS[1].derive(derive)
    assert not any(t.is_inference() for t in derived)
    assert all(a.equal(b) for a, b in zip(derived, derive(GRAPHS[1]), strict=True))


def test_tiles_are_blocks_of_the_window():
    order = order_tokens(1024)
    assert sorted(order.tolist()) == list(range(1024))
    for tile in order.view(-1, 32):
        y, x = tile // 32, tile % 32
        assert (int(y.max() - y.min()), int(x.max() - x.min())) == (3, 7)
    assert sorted(order_tokens(49).tolist()) == list(range(49))
    assert order_tokens(70).tolist() == list(range(70))


def _graph(rows):
    return KeyGraph(torch.tensor([rows]).int(), len(rows[0]))


@pytest.mark.parametrize(("different", "kernel"), [(1, "tile"), (9, "tile"), (11, "gather")])
def test_tiles_where_neighbors_share_their_keys_else_gathers(different, kernel):
    # 400 tokens in tiles of 4 x 8 of a window of 20 x 20, of `different` disjoint sets of 32 keys.
    rows = [list(range(32 * (q % different), 32 * (q % different) + 32)) for q in range(400)]
    graph = _graph(rows)
    assert choose_kernel(graph, torch.float32) == kernel
    assert (tile_keys in graph.derived) == (kernel == "tile")
    assert choose_kernel(graph, torch.bfloat16) == "tile"
