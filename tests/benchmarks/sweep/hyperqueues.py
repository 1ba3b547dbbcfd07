"""A server of HyperQueue and its workers, each a process of its own, as `hq` starts them.

The package on the index has no command `hq`; what the two do is in its library.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_SERVER = """
import sys, time
from hyperqueue.cluster import LocalCluster
cluster = LocalCluster(sys.argv[1])
time.sleep(1e6)
"""
# A worker belongs to the server of the folder where it is started, which says by a link what runs.
_WORKER = """
import os, sys, time
from pathlib import Path
from hyperqueue.cluster import LocalCluster, WorkerConfig
server, own = Path(sys.argv[1], "hq-current"), Path(sys.argv[2])
cluster = LocalCluster(str(own))
(own / "hq-current").unlink()
(own / "hq-current").symlink_to(server.resolve())
cluster.start_worker(WorkerConfig(cores=1))
print("ready", flush=True)
time.sleep(1e6)
"""


class HyperQueue:
    """A server and workers that a test kills; use it as a context manager."""

    def __init__(self, folder, python):
        """Workers find `python` where it lies, before all others."""
        self.folder = folder / "server"
        self._own = folder
        path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "KGT_DATA": ""}
        self._started = 0
        self.server, self.workers = None, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (*self.workers, self.server):
            _kill(process)

    def start_server(self):
        link = self.folder / "hq-current"
        link.unlink(missing_ok=True)
        self.server = self._start(_SERVER, self.folder)
        deadline = time.monotonic() + 60
        while not (link / "access.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def start_worker(self):
        self._started += 1
        own = self._own / f"worker{self._started}"
        worker = self._start(_WORKER, self.folder, own)
        # The table of its own server comes first.
        while worker.stdout.readline() != b"ready\n":
            assert worker.poll() is None
        self.workers.append(worker)

    def kill_worker(self, number):
        _kill(self.workers.pop(number))

    def kill_server(self):
        _kill(self.server)
        for worker in self.workers:
            _kill(worker)
        self.workers.clear()

    def _start(self, code, *arguments):
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.Popen(
            command, env=self._environment, cwd=Path.cwd(), stdout=subprocess.PIPE
        )


def _kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
