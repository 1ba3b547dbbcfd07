from dataclasses import replace

import pytest

from benchmarks.plan.runner import Run, find_scores, measure_cell, measure_cells
from benchmarks.plan.specs import Profile
from benchmarks.plan.validity import code_digest
from benchmarks.records.environment import capture_environment
from benchmarks.records.record import RecordStore
from tests.benchmarks.making import make_cell, make_record

SCORE = make_cell("quality", dataset="Set5", model="bicubic", protocol="sr-y601-crop-scale@1")
TIME = make_cell("latency", n=64, k=8, backend="sdpa")
WHOLE = TIME.model_copy(update={"backend": "torch-gather", "byte_budget": 0})


def test_memory_within_compiled_code_is_refused_with_the_reason(tmp_path):
    cell = make_cell("memory", n=64, k=8, backend="flex", heads=1, head_dim=8)
    store = RecordStore(tmp_path / "records.jsonl")
    run = Run(Profile(about="", grids=()), store, capture_environment(), "test", tmp_path)
    record = measure_cell(cell, run)
    assert record.status == "unsupported"
    assert "tensors within compiled code are not counted" in record.reason
    assert store.latest([cell], run.environment.key) == {cell: record}


def _make_run(folder, **limits):
    profile = Profile(about="", grids=(), budget_s=0.05, **limits)
    store = RecordStore(folder / "records.jsonl")
    return Run(profile, store, capture_environment(), "test", folder)


def test_cells_with_one_baseline_are_timed_in_the_same_rounds(tmp_path):
    own = [cell.model_copy(update={"baseline": "dense"}) for cell in (TIME, WHOLE)]
    other = TIME.model_copy(update={"baseline": "dense", "k": 16})
    alone = TIME.model_copy(update={"baseline": "dense", "backend": "triton"})
    said = []
    run = replace(_make_run(tmp_path), on_step=lambda what, part: said.append((what, part)))
    records = list(measure_cells([own[0], other, alone, own[1]], run))
    assert [record.cell for record in records] == [*own, other, alone]
    assert [record.status for record in records] == ["ok", "ok", "ok", "unsupported"]
    assert said == [(cell.id, 0) for cell in (own[0], other, alone)]
    first, second, third = (record.result for record in records[:3])
    assert first.baseline == second.baseline == "dense"
    assert first.baseline_latency == second.baseline_latency != third.baseline_latency
    assert first.floor == second.floor
    assert first.ratio != second.ratio
    assert (first.wall, first.called) == (second.wall, second.called)
    assert 0 < first.called.value < first.wall.value
    assert run.store.latest(own, run.environment.key) == dict(zip(own, records, strict=False))


def test_a_budget_makes_a_contender_of_its_own_beside_its_backend(tmp_path):
    cell = WHOLE.model_copy(update={"baseline": "torch-gather", "n": 1024, "k": 512})
    run = _make_run(tmp_path, memory_limit_mib=16384)
    (record,) = measure_cells([cell], run)
    assert record.result.ratio.value != 1
    assert record.result.baseline_latency.samples != record.result.latency.samples


def test_a_cell_that_fails_leaves_those_beside_it_their_times(tmp_path):
    # Keys and values of all queries at once need 720 MiB.
    fields = {"n": 1024, "k": 512, "heads": 6, "head_dim": 30, "baseline": "dense"}
    cells = [cell.model_copy(update=fields) for cell in (WHOLE, TIME)]
    records = list(measure_cells(cells, _make_run(tmp_path, memory_limit_mib=300)))
    assert [(record.cell, record.status) for record in records] == [
        (cells[0], "oom"),
        (cells[1], "ok"),
    ]
    assert "the limit is 300 MiB" in records[0].reason


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
