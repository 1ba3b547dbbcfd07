import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kgt import build_key_graph, key_graph_attention
from kgt.attention import AttentionProblem, get_backend
from kgt.attention.triton_graph import SLOTS, TILE, invert, tile_keys, tile_queries
from kgt.attention.triton_op import attend_with, choose_kernel
from kgt.graph import KeyGraph

ROOT = Path(__file__).parents[2]
REGIONS = torch.arange(70)[None] // 6
GRAPHS = [
    build_key_graph(torch.randn(2, 70, 5), k, regions=regions, backend="torch")
    for k, regions in ((1, None), (9, None), (70, None), (8, REGIONS))
]


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
    code = "import sys, kgt; sys.exit('kgt.attention.triton_parts' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT)})


def test_without_a_gpu_it_says_what_it_needs():
    q = torch.randn(1, 1, 4, 2)
    graph = build_key_graph(torch.randn(1, 4, 3), 2)
    with pytest.raises(ValueError, match="triton runs on cuda devices, not on cpu"):
        key_graph_attention(q, q, q, graph, backend="triton")


def test_what_is_too_large_is_a_reason():
    reasons = get_backend("triton").unsupported_reasons
    pytest.importorskip("triton")
    assert reasons(AttentionProblem(1, 1, 4, 64, 2, device="cuda", requires_grad=True)) == []
    assert "at most 64, not 65" in reasons(AttentionProblem(1, 1, 4, 65, 2, device="cuda"))[0]
    assert "at most 32,768" in reasons(AttentionProblem(1, 1, 32_769, 9, 2, device="cuda"))[0]


def test_an_unknown_kernel_is_refused():
    q = torch.randn(1, 1, 4, 2)
    with pytest.raises(ValueError, match="unknown kernel 'scan'; valid: gather, tile"):
        attend_with("scan", q, q, q, build_key_graph(q[0], 2), None, 1.0)


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
    for w, (unions, words, counts) in enumerate(zip(*(t.tolist() for t in tiles), strict=True)):
        for tile, (union, word, count) in enumerate(zip(unions, words, counts, strict=True)):
            assert all(word[:count])
            assert not any(word[count:])
            assert union[:count] == sorted(set(union[:count]))
            pairs += [
                (w, TILE * tile + t, other)
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


def _graph(rows):
    return KeyGraph(torch.tensor([rows]).int(), len(rows[0]))


def test_tiles_where_neighbors_share_their_keys_else_gathers():
    alike = _graph([list(range(8))] * 256)
    # Tiles of 32 queries hold 8 keys each, no two of them the same: unions of 256 = 32 k.
    apart = _graph([list(range(8 * (q % 32), 8 * (q % 32) + 8)) for q in range(256)])
    assert choose_kernel(alike) == "tile"
    assert choose_kernel(apart) == "gather"
    assert list(apart.derived) == ["triton"]
    # Three keys to a union for each of k is near, five is far.
    for share, kernel in ((3, "tile"), (5, "gather")):
        rows = [list(range(8 * (q % share), 8 * (q % share) + 8)) for q in range(256)]
        assert choose_kernel(_graph(rows)) == kernel
