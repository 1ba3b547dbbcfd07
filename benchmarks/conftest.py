"""What every benchmark carries: its cell and the environment, so that the JSON is a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.measure.memory import pin_allocator
from benchmarks.records.cell import Cell
from benchmarks.records.environment import Environment, capture_environment


@pytest.fixture(scope="session")
def environment() -> Environment:
    """Machine and software, captured once, with the allocator pinned as in the tables."""
    pin_allocator(reuse=True)
    return capture_environment()


@pytest.fixture
def measure(
    benchmark: BenchmarkFixture, environment: Environment
) -> Callable[[Cell, Callable[[], object]], Any]:
    """Time a call as the benchmark of a cell; returns the call's result."""

    def run(cell: Cell, call: Callable[[], object]) -> Any:
        benchmark.group = "/".join(
            str(part)
            for part in (getattr(cell, name, None) for name in ("kind", "task", "mode", "n", "k"))
            if part
        )
        benchmark.extra_info.update(
            cell=cell.id,
            cell_hash=cell.hash,
            cell_fields=cell.model_dump(exclude_none=True),
            environment=environment.model_dump(mode="json"),
            environment_key=environment.key,
        )
        return benchmark.pedantic(call, rounds=7, warmup_rounds=2)

    return run
