import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import regress
from benchmarks.records.cell import BenchmarkCell
from benchmarks.records.environment import capture_environment
from benchmarks.records.record import RecordStore
from benchmarks.records.result import Missing, Quantity
from benchmarks.regression.history import list_differences
from benchmarks.regression.importing import import_pytest_benchmark, import_records
from benchmarks.report.trends import MIN_POINTS, build_series, find_changes, judge_series
from tests.benchmarks import making

ROOT = Path(__file__).parents[3]
CELL = BenchmarkCell(kind="latency", task="graph", n=256, k=32)
HERE = capture_environment()
ELSEWHERE = HERE.model_copy(update={"torch": "0.0", "cores": 999})
START = datetime(2026, 1, 1)


def make_record(day, value, environment=HERE, cell=CELL, metric="latency"):
    timestamp = (START + timedelta(days=day)).isoformat()
    captured = environment.model_copy(update={"timestamp": timestamp, "commit": f"{day:040d}"})
    quantity = {metric: Quantity(value=value, unit="ms", statistic="median")}
    return making.make_record(cell, environment=captured, **quantity)


def make_records(values, **options):
    return [make_record(day, value, **options) for day, value in enumerate(values)]


def write_records(path, records):
    store = RecordStore(path)
    for record in records:
        store.append(record)
    return str(path)


def run(command, capsys):
    code = regress.main(["history", *command])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("at", [3, 5, 9])
@pytest.mark.parametrize("factor", [0.8, 1.1])
def test_a_step_is_found_where_it_is(at, factor):
    noise = np.random.default_rng(0).normal(0, 0.005, 12)
    values = 7.0 * np.exp(noise) * np.where(np.arange(12) >= at, factor, 1)
    trend = judge_series(build_series(make_records(values))[0])
    assert trend.verdict == "STEPS"
    (step,) = trend.steps
    assert step.first.commit == f"{at:040d}"
    assert step.ratio == pytest.approx(factor, rel=0.02)
    assert step.before == pytest.approx(7.0, rel=0.02)


def test_several_steps_are_found_in_order():
    changes = find_changes(np.log([1.0] * 5 + [1.2] * 4 + [0.9] * 6))
    assert changes == [5, 9]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(-192, 192), min_size=MIN_POINTS, max_size=20),
    st.integers(-5, 5),
)
def test_cuts_depend_on_differences_alone_and_leave_whole_segments(values, shift):
    x = np.array(values) / 64  # no sum of these is rounded
    changes = find_changes(x)
    bounds = [0, *changes, len(x)]
    assert all(b - a >= 3 for a, b in pairwise(bounds))
    assert find_changes(x + shift) == changes


def test_noise_is_rarely_taken_for_a_step():
    rng = np.random.default_rng(0)
    found = sum(bool(find_changes(rng.normal(0, 0.03, 15))) for _ in range(60))
    assert found <= 6  # 3 in 100 on average: more than 10 % of 60 would be a defect


def test_a_single_outlier_and_a_small_shift_are_no_steps():
    outlier = [1.0, 1.01, 0.99, 3.0, 1.0, 1.01, 0.99, 1.0]
    small = [1.0] * 6 + [1.015] * 6
    for values in (outlier, small):
        assert judge_series(build_series(make_records(values))[0]).verdict == "STEADY"


def test_a_short_series_is_not_judged():
    series = build_series(make_records([1.0] * (MIN_POINTS - 3) + [9.0, 9.0]))[0]
    assert judge_series(series).verdict == "TOO SHORT"


def test_points_are_in_the_order_of_time_however_they_were_stored():
    records = make_records([1.0, 2.0, 3.0])
    series = build_series([records[2], records[0], records[1]])
    assert [point.value for point in series[0].points] == [1.0, 2.0, 3.0]


def test_environments_cells_and_metrics_are_never_joined():
    others = [
        make_record(0, 5.0, environment=ELSEWHERE),
        make_record(0, 5.0, cell=CELL.model_copy(update={"k": 64})),
        make_record(0, 5.0, cell=making.make_cell("memory"), metric="peak"),
    ]
    series = build_series([*make_records([1.0, 1.0]), *others])
    assert [len(one.points) for one in series] == [2, 1, 1, 1]


def test_what_failed_or_was_printed_in_a_paper_is_in_no_series():
    failed = make_record(0, 1.0).model_copy(update={"result": Missing(status="failed")})
    printed = make_record(0, 1.0).model_copy(update={"environment": None})
    assert build_series([failed, printed]) == []


def test_history_reports_and_does_not_gate(tmp_path, capsys):
    path = write_records(tmp_path / "a.jsonl", make_records([1.0] * 5 + [2.0] * 5))
    code, out, _ = run([path], capsys)
    assert code == 0
    assert "1 series: 1 with steps" in out
    assert "2.000" in out
    code, out, _ = run([path, "--json"], capsys)
    (trend,) = json.loads(out)
    assert code == 0
    assert trend["steps"][0]["ratio"] == 2.0
    assert trend["environment_key"] == HERE.key


def test_nothing_measured_and_wrong_files(tmp_path, capsys):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert run([str(empty)], capsys)[0] == 2
    assert run([str(tmp_path / "absent.jsonl")], capsys)[0] == 2
    broken = tmp_path / "broken.jsonl"
    broken.write_text(make_record(0, 1.0).model_dump_json() + '\n{"cell": 3}\n')
    code, _, err = run([str(broken)], capsys)
    assert code == 2
    assert "broken.jsonl:2" in err


def test_equal_environments_are_compared_by_their_newest_values(tmp_path, capsys):
    old = write_records(tmp_path / "old.jsonl", make_records([9.0, 4.0]))
    new = write_records(tmp_path / "new.jsonl", make_records([5.0]))
    code, out, _ = run([old, new, "--compare", "--json"], capsys)
    assert code == 0
    (row,) = json.loads(out)
    assert (row["old"], row["new"], row["ratio"]) == (4.0, 5.0, 1.25)


def test_other_environments_are_refused_and_shown_without_a_ratio(tmp_path, capsys):
    old = write_records(tmp_path / "old.jsonl", make_records([4.0]))
    new = write_records(tmp_path / "new.jsonl", make_records([5.0], environment=ELSEWHERE))
    code, out, err = run([old, new, "--compare"], capsys)
    assert (code, out) == (2, "")
    assert f"cores {HERE.cores} -> 999" in err
    assert f"torch {HERE.torch} -> 0.0" in err
    assert "--side-by-side" in err
    code, out, _ = run([old, new, "--side-by-side", "--json"], capsys)
    assert code == 0
    assert json.loads(out) == [
        {"name": CELL.id, "metric": "latency", "unit": "ms", "old": 4.0, "new": 5.0}
    ]


def test_comparing_takes_two_files_of_one_environment_each(tmp_path, capsys):
    mixed = [make_record(0, 1.0), make_record(1, 1.0, environment=ELSEWHERE)]
    old = write_records(tmp_path / "old.jsonl", mixed)
    new = write_records(tmp_path / "new.jsonl", make_records([5.0]))
    code, _, err = run([old, new, "--compare"], capsys)
    assert code == 2
    assert HERE.key in err
    assert ELSEWHERE.key in err
    assert run([new, "--compare"], capsys)[0] == 2


def test_a_history_without_records_says_where_it_looked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, err = run([], capsys)
    assert code == 2
    assert "there are no records in results/records" in err


def test_time_and_commit_are_no_difference():
    later = HERE.model_copy(update={"timestamp": "2030-01-01", "commit": "c" * 40, "dirty": True})
    assert list_differences(HERE, later) == []


@pytest.fixture(scope="module")
def benchmark_json(tmp_path_factory):
    """What the suite writes."""
    path = tmp_path_factory.mktemp("suite") / "run.json"
    # As a worker of a parallel run it would refuse to time anything.
    alone = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "benchmarks/test_graph.py", "-q"),
            *("-k", "n256-k32", "--benchmark-only", f"--benchmark-json={path}"),
        ],
        cwd=ROOT,
        env=alone,
        check=True,
        capture_output=True,
    )
    return path


def test_the_suite_is_imported_as_records(benchmark_json, tmp_path):
    (record,) = import_pytest_benchmark(benchmark_json)
    stats = json.loads(benchmark_json.read_text())["benchmarks"][0]["stats"]
    latency = record.result.latency
    assert (record.cell.task, record.cell.n, record.cell.k) == ("graph", 256, 32)
    assert latency.samples == pytest.approx([1000 * seconds for seconds in stats["data"]])
    assert latency.value == pytest.approx(np.median(latency.samples))
    assert latency.unit == "ms"
    assert record.environment_key
    RecordStore(tmp_path / "kept.jsonl").append(record)
    assert import_records([tmp_path / "kept.jsonl"]) == [record]
    (series,) = build_series([record])
    assert series.name.endswith("benchmarks/test_graph.py::test_build_key_graph[n256-k32]")


def test_foreign_and_edited_json_is_refused(benchmark_json, tmp_path):
    foreign = ROOT / "results" / "benchmarks" / "triton-h100.json"
    with pytest.raises(ValueError, match="no cell_fields, environment, environment_key in its"):
        import_pytest_benchmark(foreign)
    edited = tmp_path / "edited.json"
    content = json.loads(benchmark_json.read_text())
    content["benchmarks"][0]["extra_info"]["environment"]["cores"] += 1
    edited.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="it was edited"):
        import_pytest_benchmark(edited)
    content["benchmarks"][0]["extra_info"]["cell_fields"]["kind"] = "speed"
    edited.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="cell is an object whose kind"):
        import_pytest_benchmark(edited)
    edited.write_text("[1]")
    with pytest.raises(ValueError, match=r"is no JSON of pytest-benchmark"):
        import_pytest_benchmark(edited)
