"""Peak memory of one call: resident set from the kernel, tensor bytes from the dispatcher."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from kgt.tiles.memory import M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, LiveTensorBytes, set_malloc

_PROC = Path("/proc")
_Out = TypeVar("_Out")


@dataclass(frozen=True)
class PeakMemory:
    """Peak memory of a call above what was in use before it.

    Attributes:
        peak_bytes: growth of the resident set, kernel workspaces and allocator slack included, or
            of what torch's allocator holds on a GPU;
            None where the system does not count it.
        live_tensor_bytes: largest sum of the tensor storages allocated by the call and alive
            at the same time; exact and repeatable, blind to workspaces within an operator.
        called_s: seconds spent within the calls.
        peak_missing: why `peak_bytes` is None, else None.
    """

    peak_bytes: int | None
    live_tensor_bytes: int
    called_s: float
    peak_missing: str | None = None


def measure_peak(fn: Callable[[], _Out]) -> tuple[PeakMemory, _Out]:
    """Measure the peak memory of a call, in two calls: resident set first, then tensor bytes.

    The calls are apart because counting tensors allocates memory itself. Measure every
    experiment in a fresh process, after a small call that loads the libraries involved, whose
    one-time buffers would count otherwise.

    Args:
        fn: does the same work each time it is called.

    Returns:
        Peaks above the state before the call, in bytes, and what the second call returned.
    """
    begin = time.perf_counter()
    try:
        peak_bytes, peak_missing = _measure_peak_rss_bytes(fn), None
    except OSError as error:
        peak_bytes, peak_missing = None, f"needs Linux's /proc/self/clear_refs ({error.strerror})"
    with LiveTensorBytes() as counter:
        out = fn()
    called_s = time.perf_counter() - begin
    return PeakMemory(peak_bytes, counter.peak, called_s, peak_missing), out


def measure_device_peak(fn: Callable[[], _Out]) -> tuple[PeakMemory, _Out]:
    """Measure the peak memory of a call on the current CUDA device; as `measure_peak` else.

    The allocator's own count needs no fresh process.
    """
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    begin = time.perf_counter()
    fn()
    peak_bytes = torch.cuda.max_memory_allocated() - before
    with LiveTensorBytes() as counter:
        out = fn()
    torch.cuda.synchronize()
    return PeakMemory(peak_bytes, counter.peak, time.perf_counter() - begin), out


def _measure_peak_rss_bytes(fn: Callable[[], object]) -> int:
    return_free_heap()
    before = begin_peak()
    fn()
    return max(0, read_status_bytes("VmHWM") - before)


def begin_peak(pid: int | None = None) -> int:
    """Let VmHWM of a process (None: this one) begin anew; returns its resident set in bytes.

    Raises:
        OSError: where the system is not Linux, or does not let its counters be reset.
    """
    # See proc(5): this sets VmHWM to the present resident set.
    (_PROC / ("self" if pid is None else str(pid)) / "clear_refs").write_text("5")
    return read_status_bytes("VmRSS", pid)


def read_status_bytes(field: str, pid: int | None = None) -> int:
    """Read a memory field of a process, such as VmRSS, in bytes.

    Args:
        field: its name.
        pid: the process; None is this one.

    Raises:
        OSError: where the system has no /proc, or the process is gone.
        KeyError: if the kernel does not report `field`.
    """
    path = _PROC / ("self" if pid is None else str(pid)) / "status"
    fields = dict(line.split(":", 1) for line in path.read_text().splitlines())
    return int(fields[field].split()[0]) * 1024


def pin_allocator(reuse: bool) -> None:
    """Fix glibc's thresholds, which otherwise adapt to what the process freed before.

    Left alone, blocks near a threshold are reused in one call and mapped anew, page fault by page
    fault, in the next: 25 and 57 ms for the same call, 17 and 105 MiB for the same tensors.

    Args:
        reuse: True sets the thresholds where they end up in a process that has run for a while,
            for timing; False maps every larger block by itself, so that the resident set follows
            what is allocated.
    """
    mmap, trim = (32 * 2**20, 64 * 2**20) if reuse else (2**17, 2**17)
    set_malloc({M_MMAP_THRESHOLD: mmap, M_TRIM_THRESHOLD: trim})


def return_free_heap() -> None:
    """Hand freed heap back to the kernel: reused pages would hide from the resident set."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
