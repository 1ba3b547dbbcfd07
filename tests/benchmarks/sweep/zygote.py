"""Processes of `python -m benchmarks.sweep` that are forked from one which has imported everything.

An import takes seconds, and a sweep starts many processes. `Zygote` makes a program `python` in a
folder that asks its server for a process, hands it its words, folder, environment and streams,
passes signals on, and ends with its exit code. The server lists the study of this folder alone.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = Path(__file__).parents[3]
# Of the standard library alone, so that it starts at once.
_PROGRAM = """#!{interpreter} -SE
import json, os, signal, socket, sys
asked = socket.socket(socket.AF_UNIX)
asked.connect({address!r})
request = json.dumps({{"words": sys.argv, "folder": os.getcwd(), "environment": dict(os.environ)}})
socket.send_fds(asked, [b"streams"], [1, 2])
asked.sendall(request.encode() + b"\\n")
answers = asked.makefile()
process = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, frame: os.kill(process, number))
sys.exit(int(answers.readline() or 3))
"""


class Zygote:
    """Starts sweeps in milliseconds; use it as a context manager.

    Attributes:
        python: the program.
    """

    def __init__(self, folder):
        self.address = str(folder / "socket")
        self.python = folder / "bin" / "python"
        self.python.parent.mkdir()
        self.python.write_text(_PROGRAM.format(interpreter=sys.executable, address=self.address))
        self.python.chmod(0o755)

    def __enter__(self):
        own = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.benchmarks.sweep.zygote", self.address]
        self._process = subprocess.Popen(
            [*command, str(self.python)], cwd=ROOT, env=own, stdout=subprocess.PIPE
        )
        self._process.stdout.readline()
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def count(self):
        """Its processes at work."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return len(children.read_text().split())

    def wait_until_idle(self, seconds=60):
        deadline = time.monotonic() + seconds
        while self.count():
            assert time.monotonic() < deadline, "a job was left behind"
            time.sleep(0.1)


def _serve(address, python):
    import lightning_fabric  # noqa: F401

    from benchmarks import reproduce  # noqa: F401
    from benchmarks.plan import specs
    from benchmarks.sweep import __main__, costs, work  # noqa: F401

    specs._SPECS = FOLDER
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(100)
    print("ready", flush=True)
    while True:
        asked, _ = listening.accept()
        if not os.fork():
            listening.close()
            _attend(asked, python)
        asked.close()


def _attend(asked, python):
    """In a process of its own: start what is asked for, and tell its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(asked, len(b"streams"), 2)
    request = json.loads(asked.makefile().readline())
    process = os.fork()
    if not process:
        asked.close()
        _become(request, streams, python)
    asked.sendall(f"{process}\n".encode())
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    asked.sendall(f"{code % 256}\n".encode())
    os._exit(0)


def _become(request, streams, python):
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.executable = python
    from benchmarks.sweep.__main__ import main

    code = 3
    try:
        code = int(main(request["words"][3:]))
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
