"""Building the key-graph from features of photographs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from benchmarks.measure.problems import photo_tokens
from benchmarks.records.cell import BenchmarkCell
from kgt import KeyGraph, build_key_graph

WINDOWS = 4
CELLS = [
    BenchmarkCell(
        kind="latency", task="graph", n=n, k=k, windows=WINDOWS, graph="photo", dtype="float32"
    )
    for n in (256, 1024)
    for k in (32, 128)
]


@pytest.mark.parametrize("cell", CELLS, ids=[f"n{c.n}-k{c.k}" for c in CELLS])
def test_build_key_graph(cell: Any, measure: Callable[..., KeyGraph]) -> None:
    tokens = photo_tokens(cell.windows, cell.n)
    graph = measure(cell, partial(build_key_graph, tokens, cell.k))
    assert graph.indices.shape == (cell.windows, cell.n, cell.k)
