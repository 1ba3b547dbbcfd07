from pathlib import Path

import pytest

from benchmarks.measure.environment import capture_environment
from benchmarks.plan import runner
from benchmarks.plan.cells import Cell
from benchmarks.plan.records import RecordStore
from benchmarks.plan.runner import Run, measure_cell
from benchmarks.plan.specs import Profile

NATIVE = Path(runner.__file__).parents[2] / "kgt" / "native"


@pytest.mark.parametrize("kind", ["latency", "memory", "quality", "training"])
@pytest.mark.parametrize("name", ["loader.py", "tile.cpp", "simd.h"])
def test_records_die_with_every_kind_of_native_source(kind, name, tmp_path, monkeypatch):
    assert (NATIVE / name).exists()
    monkeypatch.setattr(runner, "_ROOT", tmp_path)
    digest = runner.code_digest.__wrapped__
    source = tmp_path / "kgt" / "native" / name
    source.parent.mkdir(parents=True)
    source.write_text("1")
    before = digest(kind, (1.0,))
    assert digest(kind, (1.0,)) == before
    source.write_text("2")
    assert digest(kind, (1.0,)) != before
    assert digest(kind, (2.0,)) != digest(kind, (1.0,))


def test_memory_within_compiled_code_is_refused_with_the_reason(tmp_path):
    cell = Cell(kind="memory", n=64, k=8, backend="flex", heads=1, head_dim=8)
    store = RecordStore(tmp_path / "records.jsonl")
    run = Run(Profile(about="", grids=()), store, capture_environment(), "test", tmp_path)
    record = measure_cell(cell, run)
    assert record.status == "unsupported"
    assert "tensors within compiled code are not counted" in record.reason
    assert store.latest([cell], run.environment.key) == {cell: record}
