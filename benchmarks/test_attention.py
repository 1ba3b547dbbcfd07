"""Attention forward and backward, per backend and k, on graphs of photographs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.measure.attention import check_output
from benchmarks.measure.problems import DENSE, make_call, make_inputs, shape_of
from benchmarks.records.cell import AttentionCell, expand
from kgt import list_backends
from kgt.attention import get_backend

GRID = expand(
    {
        "kind": "latency",
        "mode": ["forward", "backward"],
        "n": [256, 1024],
        "k": [32, 128],
        "backend": [DENSE, *(name for name in list_backends() if name != "reference")],
        "windows": 1,
        "heads": 6,
        "head_dim": 30,
        "graph": "photo",
        "dtype": "float32",
    }
)


def can_run(cell: AttentionCell) -> bool:
    backend = cell.backend
    return backend == DENSE or not get_backend(backend).unsupported_reasons(shape_of(cell))


CELLS = [cell for cell in GRID if isinstance(cell, AttentionCell) and can_run(cell)]


@pytest.mark.parametrize("cell", CELLS, ids=[f"{c.mode}-n{c.n}-k{c.k}-{c.backend}" for c in CELLS])
def test_attention(cell: Any, measure: Callable[..., Any]) -> None:
    inputs = make_inputs(cell)
    out = measure(cell, make_call(inputs, cell.backend, cell))
    check_output(inputs, out, cell.backend)
