import pytest
import torch

from benchmarks.measure.problems import AttentionInputs, random_graph
from benchmarks.measure.roofline import (
    COPY,
    PRODUCT,
    Work,
    count_work,
    describe_roofline,
    make_peak_calls,
)
from kgt.attention.native import load_operators

WORK = Work(graph_flop=10**9, union_flop=3 * 10**9, moved_bytes=10**8)


def test_work_is_that_of_the_pairs_and_of_the_unions_of_blocks():
    load_operators()
    windows, heads, nodes, dim, k = 2, 3, 64, 5, 7
    graph = random_graph(windows, nodes, k, torch.Generator().manual_seed(0))
    q = torch.zeros(windows, heads, nodes, dim)
    work = count_work(AttentionInputs(q, q, q, graph))
    # Queries of a window of 8 x 8 are done in blocks of 4 x 4.
    rows = graph.indices.view(windows, 2, 4, 2, 4, k).transpose(2, 3).reshape(-1, 16 * k)
    keys = sum(len(set(row)) for row in rows.tolist())
    assert work.graph_flop == 4 * heads * dim * windows * nodes * k
    assert work.union_flop == 4 * heads * dim * 16 * keys
    assert work.moved_bytes > 4 * q.nbytes + graph.indices.nbytes


def test_peak_calls_compute_what_they_are_named_after():
    calls = make_peak_calls()
    product, copied = calls[PRODUCT](), calls[COPY]()
    assert (product == len(product)).all()
    assert copied.nbytes >= 2**28
    assert (copied[:: 2**16] == 1).all()


def test_least_times_follow_the_peaks():
    found = describe_roofline(WORK, 50.0, {PRODUCT: 10.0, COPY: 100.0})
    # 2 x 768^3 FLOPs in 10 ms, and 2^28 bytes read and written in 100.
    assert found["peak_gflop_s"] == pytest.approx(2 * 768**3 / 10e-3 / 1e9)
    assert found["peak_gb_s"] == pytest.approx(2 * 2**28 / 100e-3 / 1e9)
    assert found["graph_ms"] == pytest.approx(1e3 / found["peak_gflop_s"])
    assert found["union_ms"] == pytest.approx(3 * found["graph_ms"])
    assert found["memory_ms"] == pytest.approx(100 / found["peak_gb_s"])
    assert found["native_ms"] == 50
