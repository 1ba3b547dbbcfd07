"""Sweeps of 40 jobs: the records are the same whatever runs them, whoever dies meanwhile."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.records.record import RecordStore
from benchmarks.sweep.sweep import JobRun, Sweep
from kgt.cache import find_in_cache
from tests.benchmarks.sweep.hyperqueues import HyperQueue
from tests.benchmarks.sweep.zygote import Zygote

pytestmark = pytest.mark.slow
pytest.importorskip("hyperqueue")
ROOT = Path(__file__).parents[3]
# What a run of the same cells may differ in.
_OF_THE_RUN = re.compile(r'"(wall|training_time)":\{[^}]*\},?|"(command|timestamp)":"[^"]*",?')


@pytest.fixture(scope="module", autouse=True)
def _own_machine(tmp_path_factory):
    """Jobs that time wait for those of these tests, and for no sweep of whoever runs them."""
    own = tmp_path_factory.mktemp("cache")
    for built in find_in_cache("").glob("kgt-native-*"):
        (own / built.name).symlink_to(built)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KGT_CACHE", str(own))
        yield


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    with Zygote(tmp_path_factory.mktemp("zygote")) as started:
        yield started


def start_in(folder, zygote, *words, **environment):
    """A sweep in a folder, with a log there and no image sets."""
    folder.mkdir(exist_ok=True)
    own = {"OMP_NUM_THREADS": "1", "KGT_DATA": "", "HQ_SERVER_DIR": str(folder / "none")}
    command = [zygote.python, "-m", "benchmarks.sweep", "--study", "tiny", *words]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=folder, env={**os.environ, **own, **environment}, stderr=log, stdout=log
        )


@pytest.fixture
def start(zygote):
    """Returns a function that starts a sweep in a folder."""
    return lambda folder, *words, **own: start_in(folder, zygote, *words, **own)


def read_lines(folder, name="study-tiny-smoke"):
    """The records, without what is of the run, sorted."""
    path = folder / "results" / "records" / f"{name}.jsonl"
    return sorted(_OF_THE_RUN.sub("", line) for line in path.read_text().splitlines())


def read_runs(folder):
    found = (folder / "results" / "sweeps").glob("*/*.jsonl")
    return [JobRun.model_validate_json(line) for p in found for line in p.read_text().splitlines()]


def check_complete(folder, name="study-tiny-smoke"):
    """Every cell has one record, which is valid, in the study's own file."""
    path = folder / "results" / "records" / f"{name}.jsonl"
    store = RecordStore(path)
    assert store.problems == []
    assert store.list_parts() == []
    cells = [record.cell for record in store.records]
    assert len(cells) == len(set(cells))
    assert {record.status for record in store.records} == {"ok"}
    return cells


def check_alone(folder):
    """What timed overlapped with nothing."""
    runs = read_runs(folder)
    timed = [run for run in runs if run.job.startswith("time")]
    assert timed
    for one in timed:
        for other in runs:
            assert other is one or other.end <= one.start or one.end <= other.start, (one, other)


@pytest.fixture(scope="module")
def alone(zygote, tmp_path_factory):
    """The folder of a sweep of 40 jobs, one at a time."""
    folder = tmp_path_factory.mktemp("alone")
    assert start_in(folder, zygote, "--workers", "1").wait() == 0, (folder / "log").read_text()
    return folder


def test_one_process_does_40_jobs_once(alone, start, zygote):
    assert len(check_complete(alone)) == 2 + 32 + 6
    assert len(read_runs(alone)) == 40
    check_alone(alone)
    page = (alone / "reports" / "smoke" / "study-tiny-smoke.md").read_bytes()
    recorded = (alone / "results/records/study-tiny-smoke.jsonl").read_bytes()
    assert start(alone, "--workers", "1").wait() == 0
    assert "40 recorded; 1 jobs" in (alone / "log").read_text()
    assert (alone / "results/records/study-tiny-smoke.jsonl").read_bytes() == recorded
    assert (alone / "reports" / "smoke" / "study-tiny-smoke.md").read_bytes() == page
    zygote.wait_until_idle()


# Two workers give them in the test of those who are killed.
def test_hyperqueue_gives_the_same_records(alone, start, zygote, tmp_path):
    sweep = start(tmp_path, "--on", "hyperqueue", "--workers", "3")
    assert sweep.wait() == 0, (tmp_path / "log").read_text()
    check_complete(tmp_path)
    check_alone(tmp_path)
    assert read_lines(tmp_path) == read_lines(alone)
    assert len(read_runs(tmp_path)) == 40
    zygote.wait_until_idle()


def test_whoever_is_killed_nothing_is_lost_or_twice(alone, start, zygote, tmp_path):
    with HyperQueue(tmp_path, zygote.python) as queue:
        queue.start_server()
        for _ in range(2):
            queue.start_worker()
        words = ("--on", "hyperqueue")
        own = {"HQ_SERVER_DIR": str(queue.folder)}
        sweep = start(tmp_path, *words, **own)
        for number in range(5):
            wait_for_records(tmp_path, 4 + 4 * number, sweep)
            queue.kill_worker(number % 2)
            queue.start_worker()
        wait_for_records(tmp_path, 24, sweep)
        queue.kill_server()
        assert sweep.wait() == 3
        assert "the server of HyperQueue is gone" in (tmp_path / "log").read_text()
        assert "Traceback" not in (tmp_path / "log").read_text()
        zygote.wait_until_idle()

        queue.start_server()
        queue.start_worker()
        queue.start_worker()
        sweep = start(tmp_path, *words, **own)
        assert sweep.wait() == 0, (tmp_path / "log").read_text()
    zygote.wait_until_idle()
    check_complete(tmp_path)
    check_alone(tmp_path)
    assert read_lines(tmp_path) == read_lines(alone)


def wait_for_records(folder, count, sweep):
    deadline = time.monotonic() + 1200
    while True:
        parts = (folder / "results" / "records").rglob("*.jsonl")
        if sum(path.read_bytes().count(b"\n") for path in parts) >= count:
            return
        assert sweep.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("engine", ["local", "hyperqueue"])
def test_two_sweeps_at_once_do_every_job_once(engine, start, zygote, tmp_path):
    words = ("--profile", "cpu", "--on", engine, "--workers", "2")
    both = [start(tmp_path, *words) for _ in range(2)]
    assert [sweep.wait() for sweep in both] == [0, 0], (tmp_path / "log").read_text()
    assert len(check_complete(tmp_path, "study-tiny-cpu")) == 4
    check_alone(tmp_path)
    zygote.wait_until_idle()


@pytest.mark.parametrize("engine", ["local", "hyperqueue"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_that_is_stopped_leaves_no_job(engine, number, start, zygote, tmp_path):
    sweep = start(tmp_path, "--on", engine, "--workers", "2")
    wait_for_records(tmp_path, 3, sweep)
    sweep.send_signal(number)
    assert sweep.wait() == 3
    zygote.wait_until_idle()
    log = (tmp_path / "log").read_text()
    assert log.endswith(
        "interrupted; what finished jobs recorded is kept, the same command resumes\n"
    )
    assert "failed" not in "".join(read_parts(tmp_path))


def read_parts(folder):
    return [path.read_text() for path in (folder / "results" / "records").rglob("*.jsonl")]


def test_a_job_of_a_fresh_process_renders_the_committed_page(tmp_path):
    stem = "study-rates-cpu"
    records = tmp_path / "results" / "records"
    records.mkdir(parents=True)
    for path in (ROOT / "results" / "records").glob(f"{stem}*"):  # the file, and parts beside it
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, records / path.name)
    render = Sweep("rates", "cpu", tmp_path / "results").jobs[-1].name
    words = ["--study", "rates", "--profile", "cpu", "--job", render]
    folders = ["--results", tmp_path / "results", "--reports", tmp_path]
    command = [sys.executable, "-m", "benchmarks.sweep", *words, *folders]
    subprocess.run(command, cwd=ROOT, check=True)
    committed = ROOT / "reports" / f"{stem}.md"
    assert (tmp_path / committed.name).read_bytes() == committed.read_bytes()
