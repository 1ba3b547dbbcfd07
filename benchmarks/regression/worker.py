"""Time workloads on the packages of a tree, at the request of the process that started this one.

Run by path: `python worker.py WORKLOADS CONNECTION`, a file and the descriptor of a pipe. This
process loads the workloads, and with them torch, and runs nothing itself. For every tree and pipe
it is sent it forks a worker, so that all workers, whichever commit they measure, share one memory
layout: of processes started apart one can be slower than its identical twin by 5 % for as long as
it lives.

A worker answers ("ok", value) or ("error", message). It imports nothing from the tree but the
packages measured, so that old commits can be measured by this file of a newer one.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

PACKAGES = ("kgt", "baselines")
_WARM_UP_CALLS = 3
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h

Makers = Mapping[str, Callable[[], Callable[[], Any]]]


# A planted slowdown multiplies it.
_MATRIX = np.full((48, 48), 0.5, dtype=np.float32)


class _TreeFinder(MetaPathFinder):
    """Finds the measured packages in their tree alone: no installed copy stands in for one."""

    def __init__(self, tree: Path):
        self._tree = str(tree)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in PACKAGES:
            return None
        spec = PathFinder.find_spec(name, [self._tree])
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"no package {name!r} in the measured tree")
        return spec


class Workbench:
    """Holds one workload at a time, made of the packages of one tree."""

    def __init__(self, tree: Path, makers: Makers):
        self._makers = makers
        self._call: Callable[[], Any] = list
        sys.path.insert(0, str(tree))
        sys.meta_path.insert(0, _TreeFinder(tree))
        early = [name for name in PACKAGES if name in sys.modules]
        if early:
            raise ImportError(f"{', '.join(early)} was imported before the measured tree was known")
        importlib.import_module(PACKAGES[0])

    def prepare(self, name: str) -> np.ndarray:
        """Make a workload and warm it up.

        Returns:
            The output of its first call.
        """
        self._call = list  # frees the inputs of the last one
        self._call = self._makers[name]()
        output = np.array(self._call())
        for _ in range(_WARM_UP_CALLS):
            self._call()
        gc.collect()
        return output

    def time_calls_ms(self, calls: int, planted: float) -> list[float]:
        """Time calls of the workload, after one that fetches its data back into the caches.

        Args:
            calls: how many are timed.
            planted: share of its own time by which each call is slowed down.

        Returns:
            The times in order, in milliseconds.
        """
        self._call()
        return [self._time_call_ms(planted) for _ in range(calls)]

    def _time_call_ms(self, planted: float) -> float:
        begin = time.perf_counter()
        output = self._call()  # held, so that freeing it is not timed
        end = time.perf_counter()
        until = end + planted * (end - begin)
        while end < until:
            _MATRIX @ _MATRIX  # waiting rests the core, and what follows seemed faster
            end = time.perf_counter()
        del output
        return (end - begin) * 1e3


def serve(connection: Connection, tree: Path, makers: Makers) -> None:
    """Answer requests, tuples of a method's name and its arguments, until the pipe closes."""
    connection.send(os.getpid())
    try:
        bench = Workbench(tree, makers)
        answer: tuple[str, Any] = ("ok", None)
    except BaseException as error:
        answer = ("error", _describe(error))
    gc.disable()
    while True:
        connection.send(answer)
        method, *arguments = connection.recv()
        try:
            answer = ("ok", getattr(bench, method)(*arguments))
        except BaseException as error:
            answer = ("error", _describe(error))


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def fork_workers(connection: Connection, makers: Makers) -> None:
    """Fork a worker for every tree and pipe received, until the connection closes."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # reaps them
    while True:
        tree = Path(connection.recv())
        handle = recv_handle(connection)
        if os.fork() == 0:
            connection.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _exit_with_parent()
            serve(Connection(handle), tree, makers)
        os.close(handle)


def _exit_with_parent() -> None:
    """Die with the process that started all this, even in the middle of a call."""

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _pin_allocator() -> None:
    """As benchmarks.measure.memory.pin_allocator(reuse=True), which old trees may lack."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 64 * 2**20)


def main() -> None:
    """Fork workers until the pipe to the process that started this one closes."""
    _, workloads, connection = sys.argv
    faulthandler.enable()
    sys.path.pop(0)  # this file's folder
    _pin_allocator()
    makers = runpy.run_path(workloads)["WORKLOADS"]
    try:
        fork_workers(Connection(int(connection)), makers)
    except EOFError:
        os._exit(0)


if __name__ == "__main__":
    main()
