"""Run one function in a fresh process, under a memory limit and a timeout.

Processes are forked from a server that has imported torch and run no operator, so a fresh one
costs milliseconds and its OpenMP pool is its own. The server keeps the environment variables
of the moment it starts, which is the first run.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import pkgutil
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from types import ModuleType
from typing import Any, Literal

import torch

from benchmarks.measure.memory import read_status_bytes

# Imported once by the server, so that no fresh process spends seconds on it; torch loads
# torch._dynamo when a dispatch mode is first used.
_PRELOAD = ["torch", "torch._dynamo", __name__, "benchmarks.measure.attention"]
_TRACEBACK_LINES = 12


@dataclass(frozen=True)
class Outcome:
    """How an isolated run ended.

    Attributes:
        status: "ok", "oom", "timeout" or "failed".
        value: what the function returned, None unless `status` is "ok".
        reason: why it did not, empty if `status` is "ok".
    """

    status: Literal["ok", "oom", "timeout", "failed"]
    value: Any = None
    reason: str = ""


def run_isolated(
    function_path: str,
    payload: Any,
    *,
    memory_limit_bytes: int | None = None,
    timeout_s: float | None = None,
    threads: int | None = None,
) -> Outcome:
    """Call a function with one argument in a fresh process.

    The child is killed on a timeout, on any exception in this process, and when this process
    dies.

    Args:
        function_path: "module:function", importable by the child.
        payload: the argument; it and the result travel as pickles of importable types.
        memory_limit_bytes: memory that the call may allocate above the child's own.
        timeout_s: seconds until the child is killed, its start included.
        threads: torch's intra-op threads in the child; None keeps torch's default.

    Returns:
        The value, or what went wrong.

    Raises:
        NotImplementedError: if a memory limit is asked for on a system other than Linux.
    """
    if memory_limit_bytes is not None and sys.platform != "linux":
        raise NotImplementedError(
            f"memory_limit_bytes={memory_limit_bytes} needs Linux, not {sys.platform}; pass None"
        )
    # Pickled here: multiprocessing would send tensors as handles to memory of a dying process.
    job = pickle.dumps(payload)
    with fresh_process(
        _serve, function_path, job, memory_limit_bytes, threads=threads, timeout_s=timeout_s
    ) as child:
        outcome: Outcome = child.receive()
        return outcome


@dataclass
class Child:
    """A fresh process as its parent sees it."""

    process: ForkServerProcess
    pipe: Connection
    timeout_s: float | None
    start: float = field(default_factory=time.monotonic)

    def receive(self) -> Any:
        """What the process sends next, or an `Outcome`: why it sends no more."""
        left = None
        if self.timeout_s is not None:
            left = max(0.0, self.start + self.timeout_s - time.monotonic())
        if not wait([self.pipe, self.process.sentinel], left):
            return Outcome("timeout", reason=f"killed after {self.timeout_s} s")
        try:
            return pickle.loads(self.pipe.recv_bytes())
        except (EOFError, OSError):  # died before, or in the middle of, its message
            self.process.join()
            return _explain_death(self.process.exitcode)


@contextmanager
def fresh_process(
    serve: Callable[..., None], *arguments: Any, threads: int | None, timeout_s: float | None
) -> Iterator[Child]:
    """Start a process; it is killed when the context ends, and when this process dies.

    Args:
        serve: function of a module, called there with the process's end of a pipe and `arguments`.
        arguments: what can be pickled.
        threads: torch's intra-op threads in the process; None keeps torch's default.
        timeout_s: seconds until it counts as hanging, its start included.
    """
    ours, theirs = _get_context().Pipe()
    started = (serve, threads, theirs, *arguments)
    process = _get_context().Process(target=_begin, args=started, daemon=True)
    child = Child(process, ours, timeout_s)
    try:
        with _hidden_main(), _held_signals():
            process.start()
        theirs.close()
        yield child
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
            process.close()
        ours.close()


@contextmanager
def _held_signals() -> Iterator[None]:
    """Signals wait: the server and all that it forks begin where no interrupt can reach them.

    Nor does this process end in the middle of a request, of which the server would complain.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep the child from importing this process's main module, which it never needs."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@cache
def _get_context() -> ForkServerContext:
    """The server that fresh processes are forked from."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


def _begin(
    serve: Callable[..., None], threads: int | None, pipe: Connection, *arguments: Any
) -> None:
    # The parent decides what an interrupt from the terminal means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # Locks of libraries, such as tqdm's, then have no name that would outlive a process that is
    # killed, which all of these are.
    multiprocessing.set_start_method("fork", force=True)
    if threads is not None:
        torch.set_num_threads(threads)
    serve(pipe, *arguments)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _serve(
    pipe: Connection, function_path: str, job: bytes, memory_limit_bytes: int | None
) -> None:
    """Run the function and send its outcome."""
    try:
        function = pkgutil.resolve_name(function_path)
        payload = pickle.loads(job)
        with limit_memory(memory_limit_bytes):
            value = function(payload)
        message = pickle.dumps(Outcome("ok", value))
    except BaseException as error:
        message = pickle.dumps(explain_error(error))
    pipe.send_bytes(message)


@contextmanager
def limit_memory(limit_bytes: int | None) -> Iterator[None]:
    """Let the process grow by at most `limit_bytes` of private writable memory.

    RLIMIT_DATA counts (since Linux 4.7) what can become resident for this process alone.
    RLIMIT_AS would also count the gigabytes of libraries that a CUDA build maps and the
    address space that drivers and malloc arenas reserve without using.
    """
    if limit_bytes is None:
        yield
        return
    # The pool's thread stacks count as data; they belong to the process, not to the call.
    torch.ones(2**20).mul_(2)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (read_status_bytes("VmData") + limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def explain_error(error: BaseException) -> Outcome:
    """How a run ended that raised."""
    text = f"{type(error).__name__}: {error}"
    exhausted = isinstance(error, MemoryError | torch.OutOfMemoryError) or "bad_alloc" in text
    if exhausted or "tried to allocate" in text.lower():
        return Outcome("oom", reason=text.splitlines()[0])
    calls = "".join(traceback.format_tb(error.__traceback__)).splitlines()
    return Outcome("failed", reason="\n".join([text, *calls[-_TRACEBACK_LINES:]]))


def _explain_death(exitcode: int | None) -> Outcome:
    if exitcode == -signal.SIGKILL:
        return Outcome("oom", reason="killed by SIGKILL, as the kernel does when memory runs out")
    if exitcode is not None and exitcode < 0:
        return Outcome("failed", reason=f"killed by {signal.Signals(-exitcode).name}")
    return Outcome("failed", reason=f"exited with code {exitcode} before it returned a value")
