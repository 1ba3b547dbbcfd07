"""What of HyperQueue is not ours: a server that somebody else started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.benchmarks.sweep.hyperqueues import HyperQueue

pytest.importorskip("hyperqueue")
ROOT = Path(__file__).parents[3]
SCRIPT = """
from pathlib import Path
from benchmarks.sweep.hq import run_tasks
from benchmarks.sweep.task import Extent, Task
def task(name, code, *needs):
    words = ("-c", f"open('notes', 'a').write('{name} '); {code}")
    return Task(name, needs, name == "alone", words, Path(f"{name}.log"))
tasks = [
    task("alone", "pass"),
    task("bad", "import sys; sys.exit('out of order')", "alone"),
    task("needy", "pass", "bad"),
    task("last", "pass", "alone"),
]
print(run_tasks(tasks, Extent(1, 2), lambda done: None))
"""
PROGRAM = """#!/bin/sh
echo "$@" > cancelled
"""


@pytest.fixture
def queue(tmp_path):
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    with HyperQueue(tmp_path, python) as started:
        started.start_server()
        yield started


def start(queue, folder):
    own = {"HQ_SERVER_DIR": str(queue.folder), "PYTHONPATH": str(ROOT)}
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=folder,
        env={**os.environ, **own, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_workers_of_a_running_server_are_taken(queue, tmp_path):
    queue.start_worker()
    out, err = start(queue, tmp_path).communicate(timeout=300)
    assert f"sweep: taking the workers of the server of HyperQueue in {queue.folder}" in err
    assert out == "{'bad': 'Program terminated with exit code 1.'}\n"
    assert (tmp_path / "bad.log").read_text() == "out of order\n"
    alone, *others = (tmp_path / "notes").read_text().split()
    assert alone == "alone"
    assert sorted(others) == ["bad", "last"]
    assert queue.server.poll() is None
    assert queue.workers[0].poll() is None


def test_what_is_interrupted_is_taken_from_a_server_that_goes_on(queue, tmp_path):
    program = tmp_path / "bin" / "hq"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    process = start(queue, tmp_path)
    # Nothing is done without a worker.
    while "taking the workers" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    words = (tmp_path / "cancelled").read_text().split()
    assert words == ["--server-dir", str(queue.folder), "job", "cancel", "1"]
    assert queue.server.poll() is None


def test_a_server_that_is_gone_is_one_line(queue, tmp_path):
    process = start(queue, tmp_path)
    while "taking the workers" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(1)
    queue.kill_server()
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "kgt.errors.Failure: the server of HyperQueue is gone (TakoError" in err
    assert "stays on the server" not in err


def test_a_folder_of_a_server_of_before_is_no_server(queue, tmp_path):
    queue.kill_server()
    process = start(queue, tmp_path)
    out, err = process.communicate(timeout=300)
    assert f"sweep: no server of HyperQueue answers in {queue.folder}" in err
    assert "workers here; its server has no keys" in err
    assert out == "{'bad': 'Program terminated with exit code 1.'}\n"
