"""The engine that needs nothing: tasks on this machine, by the standard library."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter

from benchmarks.sweep.task import Extent, Task

_LOOK_EVERY_S = 1.0


def run_tasks(
    tasks: Sequence[Task], extent: Extent, on_done: Callable[[int], None]
) -> dict[str, str]:
    """Run tasks, as `Engine`."""
    named = {task.name: task for task in tasks}
    order = TopologicalSorter({task.name: task.needs for task in tasks})
    order.prepare()
    processes: list[subprocess.Popen[bytes]] = []

    def run(task: Task) -> int:
        own = {**os.environ, "OMP_NUM_THREADS": str(extent.threads)}
        with task.log.open("wb") as log:
            process = subprocess.Popen([sys.executable, *task.words], stderr=log, env=own)
        processes.append(process)
        return process.wait()

    running: dict[Future[int], str] = {}
    failed: dict[str, str] = {}
    done = 0
    pool = ThreadPoolExecutor(extent.workers)
    try:
        while True:
            running |= {pool.submit(run, named[name]): name for name in order.get_ready()}
            if not running:
                return failed
            ended, _ = wait(running, _LOOK_EVERY_S, FIRST_COMPLETED)
            for future in ended:
                name, code = running.pop(future), future.result()
                done += 1
                if code:
                    failed[name] = f"its process ended with {code}"
                else:
                    order.done(name)
            on_done(done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        pool.shutdown()
