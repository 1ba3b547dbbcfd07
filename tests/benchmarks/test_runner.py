from pathlib import Path

import pytest

from benchmarks.measure.environment import capture_environment
from benchmarks.plan import runner
from benchmarks.plan.cells import Cell
from benchmarks.plan.records import RecordStore
from benchmarks.plan.runner import Run, measure_cell
from benchmarks.plan.specs import Profile

NATIVE = Path(runner.__file__).parents[2] / "kgt" / "native"


KINDS = {
    "attention": Cell(kind="latency", n=64, k=8, backend="native"),
    "network": Cell(kind="memory", model="kgt-tiny-x4", input="32x32"),
    "cost": Cell(kind="cost", model="kgt-tiny-x4", input="32x32"),
    "restoration": Cell(kind="restoration", model="kgt-tiny-x4", input="32x32"),
    "quality": Cell(kind="quality", model="bicubic", task="sr-x4"),
    "training": Cell(kind="training", model="kgt-tiny-x4", recipe="sr-smoke"),
}


def _digest_after(change, cell, tmp_path, monkeypatch):
    """Digests of a cell without and with a file of the tree that is at hand in `tmp_path`."""
    monkeypatch.setattr(runner, "_ROOT", tmp_path)
    digests = []
    for content in ("1", "2"):
        runner._digest.cache_clear()
        path = tmp_path / change
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        digests.append(runner.code_digest(cell, (1.0,)))
        assert digests[-1] == runner.code_digest(cell, (1.0,)) != runner.code_digest(cell, (2.0,))
    runner._digest.cache_clear()
    return digests


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["loader.py", "tile.cpp", "simd.h"])
def test_records_die_with_every_kind_of_native_source(kind, name, tmp_path, monkeypatch):
    assert (NATIVE / name).exists()
    before, after = _digest_after(f"kgt/native/{name}", KINDS[kind], tmp_path, monkeypatch)
    assert before != after


@pytest.mark.parametrize(
    ("source", "dying"),
    [
        ("kgt/layers.py", {"network", "cost", "restoration", "quality", "training"}),
        ("baselines/swinir.py", {"network", "cost", "restoration", "quality", "training"}),
        ("benchmarks/measure/timing.py", {"attention", "network"}),
        ("benchmarks/measure/networks.py", {"network", "cost", "restoration"}),
        ("benchmarks/measure/cost.py", {"cost"}),
        ("benchmarks/measure/restoration.py", {"restoration"}),
        ("benchmarks/measure/kernels.py", set()),
        ("benchmarks/quality/metrics.py", {"restoration", "quality", "training"}),
        ("benchmarks/report/tables.py", set()),
    ],
)
def test_records_die_with_what_they_depend_on_alone(source, dying, tmp_path, monkeypatch):
    assert (NATIVE.parents[1] / source).exists()
    died = set()
    for kind, cell in KINDS.items():
        before, after = _digest_after(source, cell, tmp_path, monkeypatch)
        if before != after:
            died.add(kind)
    assert died == dying


def test_memory_within_compiled_code_is_refused_with_the_reason(tmp_path):
    cell = Cell(kind="memory", n=64, k=8, backend="flex", heads=1, head_dim=8)
    store = RecordStore(tmp_path / "records.jsonl")
    run = Run(Profile(about="", grids=()), store, capture_environment(), "test", tmp_path)
    record = measure_cell(cell, run)
    assert record.status == "unsupported"
    assert "tensors within compiled code are not counted" in record.reason
    assert store.latest([cell], run.environment.key) == {cell: record}
