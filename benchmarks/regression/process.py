"""Worker processes as seen from the process that compares them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import Any

import numpy as np

_FOLDER = Path(__file__).parent
WORKLOADS_FILE = _FOLDER / "workloads.py"
_REASON_LINES = 4
_LOG_BYTES = 2**16
_STACKS = re.compile(r"\n\n(?:Current thread|Thread) 0x")  # as faulthandler prints them


class WorkerError(RuntimeError):
    """A worker reported an error or died; the message says which."""


class WorkerTimeoutError(WorkerError):
    """A worker did not answer in time and was killed."""


class Worker:
    """One forked process that times the packages of one tree."""

    def __init__(self, server: WorkerServer, tree: Path, planted: float):
        self._planted = planted
        self._server = server
        self._connection, theirs = Pipe()
        self._pid: int | None = None
        with theirs:
            server.send(str(tree), theirs)
        try:
            self._pid = self._receive()
            self._take_answer()
        except BaseException:
            self.close()
            raise

    def prepare(self, name: str) -> np.ndarray:
        """Make a workload; returns its output."""
        return self._ask("prepare", name)

    def time_calls_ms(self, calls: int) -> list[float]:
        """Times of some calls of the workload, in milliseconds."""
        return self._ask("time_calls_ms", calls, self._planted)

    def close(self) -> None:
        """Kill the process, if it still lives."""
        self._connection.close()
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._pid = None

    def _ask(self, *request: Any) -> Any:
        self._server.mark_log()
        with suppress(OSError):  # the answer says that it died
            self._connection.send(request)
        return self._take_answer()

    def _take_answer(self) -> Any:
        status, value = self._receive()
        if status == "error":
            raise WorkerError(value)
        return value

    def _receive(self) -> Any:
        try:
            if not self._connection.poll(self._server.timeout_s):
                raise WorkerTimeoutError(f"no answer within {self._server.timeout_s:g} s")
            return self._connection.recv()
        except (EOFError, OSError):
            said = self._server.read_log()
            raise WorkerError(f"the process died{': ' + said if said else ''}") from None


class WorkerServer:
    """The process that workers are forked from; on leaving the context all of them are killed.

    Args:
        timeout_s: seconds that a worker may take for an answer.
        workloads: file whose WORKLOADS are timed.
    """

    def __init__(self, timeout_s: float, workloads: Path = WORKLOADS_FILE):
        self.timeout_s = timeout_s
        self._workloads = workloads
        self._logged = 0

    def __enter__(self) -> WorkerServer:
        self._log = tempfile.TemporaryFile()
        self._connection, theirs = Pipe()
        # In a session of their own, an interrupt from the terminal reaches this process alone.
        self._process = subprocess.Popen(
            [sys.executable, _FOLDER / "worker.py", self._workloads, str(theirs.fileno())],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )
        theirs.close()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._connection.close()
        self._log.close()

    def fork(self, tree: Path, planted: float = 0.0) -> Worker:
        """A fresh worker for the packages of a tree.

        Args:
            tree: folder of the packages.
            planted: share by which every call is slowed down; 0 except in calibrations.

        Raises:
            WorkerError: if the tree does not import, with the error's last line.
        """
        return Worker(self, tree, planted)

    def send(self, tree: str, connection: Connection) -> None:
        """Hand the tree and the worker's end of its pipe over."""
        self.mark_log()
        try:
            self._connection.send(tree)
            send_handle(self._connection, connection.fileno(), self._process.pid)
        except OSError:
            raise WorkerError(f"the process died: {self.read_log()}") from None

    def mark_log(self) -> None:
        """Forget what was written so far: one worker is busy at a time."""
        self._logged = os.fstat(self._log.fileno()).st_size

    def read_log(self) -> str:
        """The last lines written since the mark."""
        # Reading at an offset, since the workers share the file's position.
        said = os.pread(self._log.fileno(), _LOG_BYTES, self._logged)
        lines = _STACKS.split(said.decode(errors="replace"))[0].strip().splitlines()
        return " | ".join(lines[-_REASON_LINES:])
