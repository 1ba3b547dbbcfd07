"""Jobs in this process, on cells that take no time, and sweeps of them."""

import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.plan import runner, specs
from benchmarks.records.record import RecordStore
from benchmarks.sweep import versions
from benchmarks.sweep.__main__ import main
from benchmarks.sweep.sweep import Sweep
from benchmarks.sweep.versions import digest_versions
from benchmarks.sweep.work import do_job
from benchmarks.training.loop import TrainingInterrupted
from kgt.cli import Exit
from kgt.files import locked
from tests.benchmarks.making import make_result

FOLDER = Path(__file__).parent
TIME, TRAIN, BICUBIC, EVALUATE, RENDER = range(5)


@pytest.fixture(autouse=True)
def _only_our_study(monkeypatch):
    monkeypatch.setattr(specs, "_SPECS", FOLDER)
    specs.load_specs.cache_clear()
    yield
    specs.load_specs.cache_clear()


@pytest.fixture
def measured(monkeypatch):
    """The cells that were measured, in their order; a test may put an exception in their place."""
    done = []

    def measure(cell, run):
        done.append(cell)
        return make_result(cell)

    monkeypatch.setattr(runner, "_RUNNERS", dict.fromkeys(runner._RUNNERS, measure))
    return done


@pytest.fixture
def sweep(tmp_path, measured):
    return Sweep("tiny", "cpu", tmp_path / "results")


def do(sweep, number, planned=None):
    name = sweep.jobs[number].name
    do_job(sweep, name, planned, f"do {name}", sweep.results.parent / "reports")
    return name


def store_of(sweep):
    return RecordStore(sweep.results / "records" / "study-tiny-cpu.jsonl")


def test_a_job_writes_a_part_of_its_own_and_is_safe_to_do_twice(sweep, measured):
    name = do(sweep, TRAIN)
    assert measured == [*sweep.jobs[TRAIN].cells]
    (part,) = store_of(sweep).list_parts()
    assert part.stem == name
    (record,) = store_of(sweep).records
    assert (record.cell, record.command) == (measured[0], f"do {name}")
    kept = part.read_bytes()
    do(sweep, TRAIN)
    assert len(measured) == 1
    assert part.read_bytes() == kept
    first, second = (sweep.folder / f"{name}.jsonl").read_text().splitlines()
    assert first != second
    run = sweep.last_run(name)
    assert (run.job, run.exit, run.machine) == (name, 0, record.environment.machine)
    assert run.start <= run.end


def test_rendering_gathers_what_all_jobs_recorded(sweep, measured, capsys):
    for number in (TIME, TRAIN, BICUBIC, EVALUATE, RENDER):
        do(sweep, number)
    store = store_of(sweep)
    assert store.list_parts() == []
    assert {record.cell for record in store.records} == set(measured) == set(sweep.cells)
    assert "study-tiny-cpu.md, .csv, .tex, .svg" in capsys.readouterr().err
    page = (sweep.results.parent / "reports" / "study-tiny-cpu.md").read_text()
    assert "# Study tiny (cpu): Jobs of every kind" in page
    assert len(measured) == 4


def test_the_part_of_a_job_that_is_at_work_is_left_to_it(sweep, measured):
    at_work, ended = do(sweep, TRAIN), do(sweep, BICUBIC)
    with locked(sweep.path(at_work, "lock")):
        do(sweep, RENDER)
    store = store_of(sweep)
    assert [part.stem for part in store.list_parts()] == [at_work]
    assert len(store.records) == 2
    assert store.path.read_bytes().count(b"\n") == 1
    do(sweep, RENDER)
    assert store_of(sweep).list_parts() == []
    assert store.path.read_bytes().count(b"\n") == 2
    assert at_work != ended


def test_gathering_that_was_cut_short_is_done_again(sweep, measured):
    do(sweep, TIME)
    do(sweep, BICUBIC)
    store = store_of(sweep)
    records = store.records
    for part in store.list_parts():
        # As after a crash in the middle: the line is there, and so is the part, cut in its next.
        with store.path.open("ab") as file:
            file.write(part.read_bytes())
        with part.open("ab") as file:
            file.write(b'{"cell": {"kind"')
    assert [record.cell for record in store_of(sweep).records] == [r.cell for r in records]
    do(sweep, RENDER)
    again = store_of(sweep)
    assert again.records == records
    assert again.problems == again.list_parts() == []


def test_a_cell_that_fails_is_a_record_and_the_job_is_done(sweep, monkeypatch, capsys):
    def fail(cell, run):
        raise RuntimeError("out of order")

    monkeypatch.setattr(runner, "_RUNNERS", dict.fromkeys(runner._RUNNERS, fail))
    name = do(sweep, BICUBIC)
    assert "[1/1] failed quality/" in capsys.readouterr().err
    assert [record.status for record in store_of(sweep).records] == ["failed"]
    assert sweep.last_run(name).exit == 0
    do(sweep, RENDER)
    assert sweep.last_run(sweep.jobs[RENDER].name).exit == Exit.FAILURE


def test_a_training_that_is_told_to_end_is_no_record(sweep, monkeypatch):
    def end(cell, run):
        raise TrainingInterrupted("asked to end after step 1 of 2")

    monkeypatch.setattr(runner, "_RUNNERS", dict.fromkeys(runner._RUNNERS, end))
    with pytest.raises(TrainingInterrupted):
        do(sweep, TRAIN)
    assert store_of(sweep).records == []


def test_another_version_is_refused_with_both_named(sweep, measured, tmp_path, monkeypatch):
    planned = digest_versions(sweep.cells)
    do(sweep, TIME, planned)
    assert len(measured) == 1
    folder = tmp_path / "kgt"
    folder.mkdir()
    (folder / "config.py").write_text("# another version")
    monkeypatch.setattr(versions, "kgt", SimpleNamespace(__path__=[str(folder)]))
    here = digest_versions(sweep.cells)
    code, data = (planned.split("-")[place] for place in range(2))
    with pytest.raises(ValueError, match=rf": code {here.split('-')[0]} here, {code} there; give"):
        do(sweep, TRAIN, planned)
    assert here.split("-")[1] == data
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "config.pyc").touch()
    assert digest_versions(sweep.cells) == here
    assert len(measured) == 1


def test_another_data_root_is_refused_with_both_named(measured, tmp_path, monkeypatch):
    (cell,) = Sweep("tiny", "cpu", tmp_path).jobs[BICUBIC].cells
    cells = [cell.model_copy(update={"dataset": "Set5"})]
    digests = []
    for name, content in (("here", b"1"), ("there", b"22"), ("copy", b"3"), ("none", None)):
        monkeypatch.setenv("KGT_DATA", str(tmp_path / name))
        if content:
            image = tmp_path / name / "Set5" / "HR" / "baby.png"
            image.parent.mkdir(parents=True)
            image.write_bytes(content)
        digests.append(digest_versions(cells))
    here, there, copy, none = digests
    assert here == copy
    assert len({here, there, none}) == 3
    own, other = (digest.split("-")[1] for digest in (here, there))
    with pytest.raises(ValueError, match=f": data {own} here, {other} there; give all machines"):
        versions.refuse_other_versions(there, here)


def test_a_job_that_is_not_of_the_study_is_refused(sweep):
    with pytest.raises(ValueError, match=r"unknown job of study tiny, profile cpu 'train-0'; val"):
        do_job(sweep, "train-0", None, "", Path())


def run_main(*arguments, folder):
    folders = ["--results", str(folder / "results"), "--reports", str(folder / "reports")]
    return main(["--study", "tiny", "--profile", "cpu", *arguments, *folders])


def test_a_dry_run_says_jobs_and_hours_of_what_was_measured(sweep, tmp_path, capsys):
    assert run_main("--dry-run", folder=tmp_path) == 0
    out, err = capsys.readouterr()
    assert "study tiny, profile cpu (5 jobs): 4 cells, 0 recorded; 5 jobs" in err
    assert re.findall(r"^(\w+) +(\d+) +0\.00$", out, re.M) == [
        *(("time", "1"), ("train", "1"), ("evaluate", "2"), ("render", "1"), ("all", "5"))
    ]
    assert "without 4 jobs whose like was never measured here" in out
    assert [*tmp_path.iterdir()] == []
    for number in (TIME, EVALUATE):
        do(sweep, number)
    assert run_main("--dry-run", folder=tmp_path) == 0
    out, err = capsys.readouterr()
    assert "4 cells, 2 recorded; 3 jobs" in err
    assert "without 2 jobs" in out


def test_progress_tells_what_a_job_has_said_last(sweep, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("kgt.cli._LINE_EVERY_S", 0)
    sweep.folder.mkdir(parents=True)
    old = sweep.path("render-old", "log")
    old.write_text("sweep: an earlier sweep")
    os.utime(old, (1, 1))

    def run_tasks(tasks, extent, on_done):
        on_done(0)
        tasks[1].log.write_text("sweep: step 4 of 600\n\n")
        on_done(0)
        for task in tasks:
            do_job(sweep, task.name, None, "", tmp_path / "reports")
        tasks[-1].log.touch()
        return {}

    monkeypatch.setattr("benchmarks.sweep.local.run_tasks", run_tasks)
    run_main(folder=tmp_path)
    said = [line for line in capsys.readouterr().err.splitlines() if " of 5 jobs" in line]
    assert said[0] == "sweep: 0 of 5 jobs"
    assert said[1] == f"sweep: 0 of 5 jobs; {sweep.jobs[TRAIN].name}: step 4 of 600"


def test_what_finished_jobs_recorded_is_not_done_again(sweep, measured, tmp_path, monkeypatch):
    for number in (TIME, TRAIN, BICUBIC):
        do(sweep, number)
    asked = []

    def run_tasks(tasks, extent, on_done):
        asked.extend(tasks)
        for task in tasks:
            do_job(sweep, task.name, None, "", tmp_path / "reports")
            task.log.write_text(f"said by {task.name}\n")
        return {}

    monkeypatch.setattr("benchmarks.sweep.local.run_tasks", run_tasks)
    assert run_main(folder=tmp_path) == 0
    evaluate, render = asked
    assert [task.name for task in asked] == [sweep.jobs[EVALUATE].name, sweep.jobs[RENDER].name]
    assert render.needs == (evaluate.name,)
    assert evaluate.needs == ()
    assert (evaluate.alone, render.alone) == (False, False)
    assert evaluate.words[-2:] == ("--job", evaluate.name)
    assert digest_versions(sweep.cells) in evaluate.words
    assert len(measured) == 4


def test_jobs_that_fail_for_one_reason_are_one_line(sweep, tmp_path, monkeypatch, capsys):
    def run_tasks(tasks, extent, on_done):
        first, second, third, *_ = tasks
        for task in (first, second):
            task.log.write_text("a line\nsweep: refused: code a here, b there\n\n")
        third.log.unlink(missing_ok=True)
        return {first.name: "ended", second.name: "ended", third.name: "killed by 9"}

    monkeypatch.setattr("benchmarks.sweep.local.run_tasks", run_tasks)
    assert run_main(folder=tmp_path) == Exit.FAILURE
    names = [job.name for job in sweep.jobs]
    *_, one, two, where = capsys.readouterr().err.splitlines()
    assert one == f"sweep: {names[0]} and 1 more failed: refused: code a here, b there"
    assert two == f"sweep: {names[2]} failed: killed by 9"
    assert where == f"sweep: what the jobs said is in {sweep.folder}, the same command goes on"


def test_an_engine_that_is_not_installed_is_named_with_the_way_to_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "hyperqueue", None)
    monkeypatch.delitem(sys.modules, "benchmarks.sweep.hq", raising=False)
    assert run_main("--on", "hyperqueue", folder=tmp_path) == Exit.WRONG_USE
    assert capsys.readouterr().err == (
        "sweep: the package hyperqueue is missing here: pip install 'kgt[sweep]' adds it\n"
    )
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--study", "large"], "unknown study 'large'; valid: tiny"),
        (["--study", "tiny", "--profile", "gpu"], "study tiny has no profile 'gpu'; valid: smoke"),
        (["--study", "tiny", "--workers", "0"], "'0' is not a whole number of at least 1"),
        (["--study", "tiny", "--on", "slurm"], "unknown value 'slurm'; valid: local, hyperqueue"),
        ([], "the following arguments are required: --study"),
    ],
)
def test_wrong_use_exits_with_2_and_the_valid_names(arguments, message, capsys):
    try:
        code = main(arguments or ["--dry-run"])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert message in capsys.readouterr().err
