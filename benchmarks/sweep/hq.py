"""The engine HyperQueue: tasks on the workers of a server, on this machine or on many."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import hyperqueue
from hyperqueue.cluster import WorkerConfig
from hyperqueue.ffi.protocol import ResourceRequest

from benchmarks.sweep.task import Extent, Task
from kgt.cli import say
from kgt.errors import Failure

# A task whose workers die so often is what kills them.
_CRASHES = 20

_say = partial(say, "sweep")


@dataclass(frozen=True)
class _Server:
    """A server to submit to.

    Attributes:
        client: a connection to it.
        folder: its folder, by which others find it.
        own: whether it was started here, and ends with this process, its workers and their tasks.
        python: the interpreter on its workers.
    """

    client: hyperqueue.Client
    folder: Path
    own: bool
    python: str


def run_tasks(
    tasks: Sequence[Task], extent: Extent, on_done: Callable[[int], None]
) -> dict[str, str]:
    """Run tasks, as `Engine`: on new workers here, or on those of a running server.

    Raises:
        Failure: the server is gone.
    """
    with _find_server(extent) as server:
        submitted = server.client.submit(_describe(tasks, extent.threads, server.python))
        number = submitted.id

        def report(jobs: dict[int, dict[str, int]]) -> None:
            on_done(jobs[number]["finished"] + jobs[number]["failed"])

        try:
            server.client.connection.wait_for_jobs([number], report)
            failed = server.client.get_failed_tasks(submitted)
        except BaseException as error:
            # What it raises itself is of no other type, with the frames of Rust behind the line.
            if type(error) is Exception:
                raise Failure(
                    f"the server of HyperQueue is gone ({_first_line(error)}); what was recorded "
                    "is kept, the same command resumes"
                ) from error
            if not server.own:
                _cancel(number, server.folder)
            raise
        return {tasks[place].name: context.error for place, context in failed.items()}


def _describe(tasks: Sequence[Task], threads: int, python: str) -> hyperqueue.Job:
    job = hyperqueue.Job(max_fails=None, default_env={"OMP_NUM_THREADS": str(threads)})
    made: dict[str, object] = {}
    for task in tasks:
        made[task.name] = job.program(
            [python, *task.words],
            name=task.name,
            deps=[made[name] for name in task.needs],
            stdout=None,
            stderr=str(task.log.absolute()),
            resources=ResourceRequest(cpus="all" if task.alone else threads),
            crash_limit=_CRASHES,
        )
    return job


@contextmanager
def _find_server(extent: Extent) -> Iterator[_Server]:
    """The running server, if no workers are asked for here; else one of our own with workers."""
    folder = Path(os.environ.get("HQ_SERVER_DIR") or Path.home() / ".hq-server")
    if extent.asked is None and (folder / "hq-current").exists():
        try:
            server = _Server(hyperqueue.Client(str(folder)), folder, own=False, python="python")
        except Exception as error:
            _say(f"no server of HyperQueue answers in {folder} ({_first_line(error)})")
        else:
            _say(f"taking the workers of the server of HyperQueue in {folder}")
            yield server
            return
    with TemporaryDirectory(prefix="kgt-hyperqueue-") as made, _start(Path(made)) as cluster:
        for _ in range(extent.workers):
            cluster.start_worker(WorkerConfig(cores=extent.threads))
        _say(
            f"HyperQueue {hyperqueue.get_version()}, {extent.workers} workers here; its server has "
            "no keys and can be reached from every network that this machine is in"
        )
        yield _Server(cluster.client(), Path(made), own=True, python=sys.executable)


@contextmanager
def _start(folder: Path) -> Iterator[hyperqueue.LocalCluster]:
    """A server in this process, without the table that it prints."""
    shown = os.dup(1)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        cluster = hyperqueue.LocalCluster(str(folder))
    finally:
        os.dup2(shown, 1)
        os.close(shown)
    try:
        yield cluster
    finally:
        cluster.stop()


def _cancel(number: int, folder: Path) -> None:
    """Take a job from a server that goes on; its Python interface cannot."""
    command = ["hq", "--server-dir", str(folder), "job", "cancel", str(number)]
    if shutil.which("hq") is None:
        _say(f"job {number} stays on the server; this ends it: {' '.join(command)}")
    else:
        subprocess.run(command, check=False, capture_output=True)


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
