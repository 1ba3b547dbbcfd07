import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.sweep.local import run_tasks
from benchmarks.sweep.task import Extent, Task

ROOT = Path(__file__).parents[3]
NOTE = "open('notes', 'a').write('{} ')"


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Returns a function that makes a task of a line of Python, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def make_task(name, *needs, code=NOTE):
        words = ("-c", code.format(name))
        return Task(name, needs, alone=False, words=words, log=tmp_path / f"{name}.log")

    return make_task


def run(tasks, workers=1):
    counts = []
    failed = run_tasks(tasks, Extent(threads=3, cores=8, asked=workers), counts.append)
    return failed, counts


def test_tasks_run_after_those_that_they_need(make):
    tasks = [make("a", "c"), make("b"), make("c", "b"), make("d", "a", "b")]
    failed, counts = run(tasks)
    assert failed == {}
    assert Path("notes").read_text().split() == ["b", "c", "a", "d"]
    assert counts[-1] == 4
    assert counts == sorted(counts)


def test_one_that_fails_is_named_and_holds_back_those_that_need_it(make):
    tasks = [
        make("bad", code="import sys; sys.exit('out of order')"),
        make("needy", "bad"),
        make("last", "needy", "good"),
        make("good"),
    ]
    failed, _ = run(tasks)
    assert failed == {"bad": "its process ended with 1"}
    assert Path("notes").read_text().split() == ["good"]
    assert Path("bad.log").read_text() == "out of order\n"


def test_as_many_run_at_once_as_workers_are_asked_for(make):
    # Each waits until the other is there, and would fail alone.
    code = """
import pathlib, time
pathlib.Path("{0}.there").touch()
end = time.monotonic() + 60
while len([*pathlib.Path().glob("*.there")]) < 2 and time.monotonic() < end:
    time.sleep(0.01)
assert time.monotonic() < end
"""
    assert run([make("a", code=code), make("b", code=code)], workers=2)[0] == {}


@pytest.mark.parametrize(
    ("threads", "cores", "asked", "workers"), [(1, 8, None, 8), (3, 8, None, 2), (16, 8, None, 1)]
)
def test_workers_are_as_many_as_there_are_cores_for(threads, cores, asked, workers):
    assert Extent(threads, cores, asked).workers == workers
    assert Extent(threads, cores, 5).workers == 5


def test_a_task_has_as_many_threads_as_it_has_cores(make):
    code = "import os; assert os.environ['OMP_NUM_THREADS'] == '3', {!r}"
    assert run([make("a", code=code)])[0] == {}


def test_an_interrupt_ends_what_runs_and_starts_nothing_more(tmp_path):
    script = """
from pathlib import Path
from benchmarks.sweep.local import run_tasks
from benchmarks.sweep.task import Extent, Task
code = "import os, time; open('pids', 'a').write(f'{os.getpid()} '); time.sleep(600)"
tasks = [Task(name, (), False, ("-c", code), Path(name)) for name in "abc"]
run_tasks(tasks, Extent(1, 2), lambda done: None)
"""
    own = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, env=own, stderr=subprocess.DEVNULL
    )
    pids = tmp_path / "pids"
    while not pids.exists() or len(pids.read_text().split()) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
