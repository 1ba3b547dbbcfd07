from benchmarks.plan.runner import Run, measure_cell
from benchmarks.plan.specs import Profile
from benchmarks.records.environment import capture_environment
from benchmarks.records.record import RecordStore
from tests.benchmarks.making import make_cell


def test_memory_within_compiled_code_is_refused_with_the_reason(tmp_path):
    cell = make_cell("memory", n=64, k=8, backend="flex", heads=1, head_dim=8)
    store = RecordStore(tmp_path / "records.jsonl")
    run = Run(Profile(about="", grids=()), store, capture_environment(), "test", tmp_path)
    record = measure_cell(cell, run)
    assert record.status == "unsupported"
    assert "tensors within compiled code are not counted" in record.reason
    assert store.latest([cell], run.environment.key) == {cell: record}
