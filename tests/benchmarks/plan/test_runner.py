import pytest

from benchmarks.plan.runner import Run, find_scores, measure_cell
from benchmarks.plan.specs import Profile
from benchmarks.plan.validity import code_digest
from benchmarks.records.environment import capture_environment
from benchmarks.records.record import RecordStore
from tests.benchmarks.making import make_cell, make_record

SCORE = make_cell("quality", dataset="Set5", model="bicubic", protocol="sr-y601-crop-scale@1")
TIME = make_cell("latency", n=64, k=8, backend="sdpa")


def test_memory_within_compiled_code_is_refused_with_the_reason(tmp_path):
    cell = make_cell("memory", n=64, k=8, backend="flex", heads=1, head_dim=8)
    store = RecordStore(tmp_path / "records.jsonl")
    run = Run(Profile(about="", grids=()), store, capture_environment(), "test", tmp_path)
    record = measure_cell(cell, run)
    assert record.status == "unsupported"
    assert "tensors within compiled code are not counted" in record.reason
    assert store.latest([cell], run.environment.key) == {cell: record}


@pytest.mark.parametrize(
    ("cell", "status", "outdated", "taken"),
    [
        (SCORE, "ok", False, True),
        (SCORE, "ok", True, False),
        (SCORE, "unsupported", False, False),
        (TIME, "ok", False, False),
    ],
)
def test_a_valid_score_is_taken_from_another_store_and_no_time(
    tmp_path, cell, status, outdated, taken
):
    profile = Profile(about="", grids=())
    record = make_record(cell, status).model_copy(
        update={"code": "0" * 12 if outdated else code_digest(cell, profile.limits)}
    )
    other = RecordStore(tmp_path / "other.jsonl")
    for its in (make_record(SCORE.model_copy(update={"dataset": "Set14"})), record):
        other.append(its)
    with other.path.open("a") as file:
        file.write('{"cell":{"kind":"quality"')
    store = RecordStore(tmp_path / "own.jsonl")
    run = Run(profile, store, capture_environment(), "test", tmp_path)
    assert find_scores([cell], run) == ({cell: record} if taken else {})
    assert find_scores([], run) == {}
