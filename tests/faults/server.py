"""Commands in processes of their own, forked from one that has imported everything.

`python -m tests.faults.server` reads a line of JSON per job from standard input and answers with
one: {"start": words, "log": file} with the process, {"wait": process} with its exit status.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Server:
    """Starts commands in milliseconds; use it as a context manager."""

    def __enter__(self):
        own = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            cwd=ROOT,
            env=own,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()

    def start(self, words, log, **environment):
        """Begin `python -m ...`; the log gets what it prints. Returns its process number."""
        return self._ask({"start": [*map(str, words)], "log": str(log), "env": environment})

    def wait(self, pid):
        """Its exit code, below zero for a signal."""
        return self._ask({"wait": pid})

    def run(self, words, log, **environment):
        return self.wait(self.start(words, log, **environment))

    def _ask(self, job):
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _serve():
    from benchmarks import evaluate, regress, reproduce, train
    from benchmarks.quality import evaluation  # noqa: F401
    from benchmarks.report import reproduction, scores  # noqa: F401
    from benchmarks.training import loop  # noqa: F401
    from kgt import __main__ as kgt
    from kgt import restoring  # noqa: F401

    mains = {"kgt": kgt, "train": train, "evaluate": evaluate, "regress": regress}
    mains["reproduce"] = reproduce
    answer = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            result = os.waitstatus_to_exitcode(os.waitpid(job["wait"], 0)[1])
        elif not (result := os.fork()):
            _become(mains, job)
        print(json.dumps(result), file=answer, flush=True)


def _become(mains, job):
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(job["env"])
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    command, *words = job["start"]
    code = 1
    try:
        code = int(mains[command].main(words))
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
