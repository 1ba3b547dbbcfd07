"""How fit a machine is for measuring: what disturbs times and memory, graded.

A check reads files of the system, under roots that tests replace, and never fails for want of a
file: what cannot be read is a finding without a grade.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from benchmarks.measure.attention import check_call
from benchmarks.measure.memory import measure_peak, pin_allocator
from benchmarks.measure.problems import make_inputs, make_stage_call
from benchmarks.measure.timing import Timings, measure_latency
from benchmarks.records.cell import AttentionCell
from benchmarks.records.statistics import FLOOR_FACTOR, THRESHOLD

Grade = Literal["quiet", "usable", "unfit"]
GRADES: tuple[Grade, ...] = ("quiet", "usable", "unfit")
NOT_READABLE = "not readable"

# A verdict needs the whole interval beyond max(THRESHOLD, FLOOR_FACTOR x floor). Up to the first
# limit the floor does not move that edge; up to the second, 5 % can still be seen.
QUIET_FLOOR = THRESHOLD / FLOOR_FACTOR
USABLE_FLOOR = 0.05 / FLOOR_FACTOR
# A tick must vanish beside THRESHOLD of a call of 1 ms, the shortest that is timed.
QUIET_TICK_S, USABLE_TICK_S = 1e-6, 1e-3 * THRESHOLD
QUIET_BUSY, USABLE_BUSY = 0.05, 0.25
QUIET_STEAL, USABLE_STEAL = 0.01, 0.05
QUIET_BYTES, USABLE_BYTES = 4 * 2**30, 2**30
SWAP_BYTES = 64 * 2**20
PROBE_BYTES = 64 * 2**20
# The kernel adds its counts of pages up in batches per processor or thread.
PROBE_SLACK_BYTES = PROBE_BYTES // 100
# Splitting a normal or uniform sample in two explains 64 or 75 % of its variance.
_MODES_EXPLAIN = 0.85
_MODES_RATIO = 1.1
_PROC, _SYS = Path("/proc"), Path("/sys")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_CELL = AttentionCell(
    kind="latency",
    n=1024,
    k=128,
    backend="auto",
    windows=4,
    heads=6,
    head_dim=30,
    graph="photo",
    dtype="float32",
    mode="forward",
)


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: name of the check.
        grade: None where there is nothing to grade.
        value: what was found, in words.
        advice: what to do about it; empty where nothing is to be done.
    """

    check: str
    grade: Grade | None
    value: str
    advice: str = ""


def make_finding(check: str, grade: Grade, value: str, advice: str) -> Finding:
    """A finding; a quiet one needs no advice."""
    return Finding(check, grade, value, "" if grade == "quiet" else advice)


def worst_grade(findings: Iterable[Finding]) -> Grade:
    """The worst of the grades that were given."""
    return max((f.grade for f in findings if f.grade), key=GRADES.index, default="quiet")


def grade_by(value: float, quiet: float, usable: float) -> Grade:
    """Grade a value of which less is better by the largest that are quiet and usable."""
    if value <= quiet:
        return "quiet"
    return "usable" if value <= usable else "unfit"


def check_timer(clock: Callable[[], float] = time.perf_counter, reads: int = 20_000) -> Finding:
    """Smallest step and cost of the clock that times are taken from; it must not go backward."""
    steps_s = np.diff([clock() for _ in range(reads)])
    backward = int(np.count_nonzero(steps_s < 0))
    forward_s = steps_s[steps_s > 0]
    if backward or not forward_s.size:
        said = f"went backward {backward} times" if backward else "stood still"
        advice = "choose another clock source, see /sys/devices/system/clocksource"
        return Finding("timer", "unfit", f"{said} in {reads} reads", advice)
    tick_s = float(forward_s.min())
    return make_finding(
        "timer",
        grade_by(tick_s, QUIET_TICK_S, USABLE_TICK_S),
        f"step {1e9 * tick_s:.0f} ns, a read {1e9 * np.median(steps_s):.0f} ns, "
        f"longest pause {1e6 * steps_s.max():.0f} us",
        "time longer calls, such as more windows",
    )


def check_load(wait: Callable[[float], object] = time.sleep, proc: Path = _PROC) -> Finding:
    """Share of the processors that others use, and that the host takes, while we sleep a second."""
    before = _read_processor_times(proc)
    wait(1.0)
    after = _read_processor_times(proc)
    if before is None or after is None or (after - before).sum() <= 0:
        return Finding("load by others", None, NOT_READABLE)
    spent = (after - before) / (after - before).sum()
    _, _, _, idle, waiting, _, _, steal = spent
    busy = max(0.0, 1 - idle - waiting - steal)
    grades = grade_by(busy, QUIET_BUSY, USABLE_BUSY), grade_by(steal, QUIET_STEAL, USABLE_STEAL)
    return make_finding(
        "load by others",
        max(grades, key=GRADES.index),
        f"{busy:.0%} busy, {steal:.1%} stolen by the host",
        "stop what else runs (top names it), or wait for it to end",
    )


def _read_processor_times(proc: Path) -> np.ndarray | None:
    """User, nice, system, idle, iowait, irq, softirq and steal ticks of all processors."""
    words = (_read(proc / "stat") or "").split()
    if words[:1] != ["cpu"] or len(words) < 9:
        return None
    return np.array([float(word) for word in words[1:9]])


def check_queue(proc: Path = _PROC) -> Finding:
    """Load of the last minutes, this process included, which is why it earns no grade."""
    load = (_read(proc / "loadavg") or "").split()
    if len(load) < 4:
        return Finding("run queue", None, NOT_READABLE)
    value = f"load {', '.join(load[:3])}; runnable {load[3].split('/')[0]}"
    pressure = (_read(proc / "pressure" / "cpu") or "").split()
    if len(pressure) > 1 and pressure[0] == "some":
        value += f"; waited for a processor {pressure[1].removeprefix('avg10=')} % of 10 s"
    return Finding("run queue", None, value)


def check_threads(
    threads: int,
    cores: int,
    environment: Mapping[str, str] = os.environ,
    proc: Path = _PROC,
    sys: Path = _SYS,
) -> Finding:
    """Torch's threads against the processors they may run on.

    Args:
        threads: torch's intra-op threads.
        cores: processors that the affinity mask allows.
        environment: variables that set numbers of threads.
        proc: where the process's control groups are read.
        sys: where their quotas are read.
    """
    quota = read_cpu_quota(proc, sys)
    usable = cores if quota is None else min(cores, quota)
    value = f"{threads} threads on {cores} cores"
    value += "" if quota is None else f" with a quota of {quota:g}"
    value += "".join(
        f", {name}={environment[name]}" for name in _THREAD_VARIABLES if name in environment
    )
    if threads > usable:
        limit = max(1, int(usable))
        advice = f"set OMP_NUM_THREADS={limit}: threads that share a core wait in turns"
        return Finding("threads", "unfit", value, advice)
    grade: Grade = "usable" if usable < cores else "quiet"
    advice = "keep threads below the quota, which is enforced by pauses"
    return make_finding("threads", grade, value, advice)


def read_cpu_quota(proc: Path = _PROC, sys: Path = _SYS) -> float | None:
    """Processors' worth of time that the control groups grant; None without a limit."""
    quotas = []
    for folder in _control_groups("cpu", proc, sys):
        words = (_read(folder / "cpu.max") or "").split()
        if not words:
            words = [_read(folder / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")]
        if len(words) == 2 and all(word.isdecimal() for word in words):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def check_frequency(sys: Path = _SYS) -> Finding:
    """Governor, turbo and simultaneous threads."""
    folder = sys / "devices" / "system" / "cpu"
    governors = {
        text for path in folder.glob("cpu[0-9]*/cpufreq/scaling_governor") if (text := _read(path))
    }
    switches = {
        "turbo": {"0": "on", "1": "off"}.get(_read(folder / "intel_pstate" / "no_turbo") or "")
        or {"1": "on", "0": "off"}.get(_read(folder / "cpufreq" / "boost") or ""),
        "SMT": {"1": "on", "0": "off"}.get(_read(folder / "smt" / "active") or ""),
    }
    said = [f"governor {', '.join(sorted(governors)) or f'{NOT_READABLE} (virtual machine?)'}"]
    said += [f"{name} {state or NOT_READABLE}" for name, state in switches.items()]
    if not governors:
        return Finding("frequency", None, "; ".join(said))
    grade: Grade = "quiet" if governors <= {"performance"} else "usable"
    advice = "cpupower frequency-set -g performance keeps the clock from following the load"
    return make_finding("frequency", grade, "; ".join(said), advice)


def check_memory_probe() -> Finding:
    """Whether the peak of a phase of known size is read as that size."""
    pin_allocator(reuse=False)

    def fill() -> None:
        torch.ones(PROBE_BYTES // 4)

    fill()
    peak, _ = measure_peak(fill)
    return judge_probe(peak.peak_bytes)


def judge_probe(peak_bytes: int | None) -> Finding:
    """Compare what was read for a phase of PROBE_BYTES, None if nothing was, with that."""
    if peak_bytes is None:
        advice = "peaks of memory are counted in tensor bytes alone; use Linux for exact ones"
        return Finding("memory probe", "usable", f"clear_refs {NOT_READABLE}", advice)
    off_bytes = peak_bytes - PROBE_BYTES
    value = f"64 MiB read as {peak_bytes / 2**20:.2f} MiB"
    grade: Grade = "quiet" if abs(off_bytes) <= PROBE_SLACK_BYTES else "unfit"
    advice = "trust tensor bytes only; another allocator (LD_PRELOAD) or a sandbox distorts VmHWM"
    return make_finding("memory probe", grade, value, advice)


def check_free_memory(proc: Path = _PROC, sys: Path = _SYS) -> Finding:
    """Memory that is there to be used, the limit of the control groups, and swap in use."""
    fields = dict(
        line.split(":", 1) for line in (_read(proc / "meminfo") or "").splitlines() if ":" in line
    )
    if "MemAvailable" not in fields:
        return Finding("free memory", None, NOT_READABLE)

    def read_bytes(field: str) -> int:
        return int(fields.get(field, "0").split()[0]) * 1024

    free = read_bytes("MemAvailable")
    swapped = read_bytes("SwapTotal") - read_bytes("SwapFree")
    value = f"{free / 2**30:.1f} GiB free, {swapped / 2**20:.0f} MiB swapped out"
    limit = read_memory_limit(proc, sys)
    if limit is not None and limit < read_bytes("MemTotal"):
        value += f", limit {limit / 2**30:.1f} GiB"
        free = min(free, limit)
    grade = grade_by(-free, -QUIET_BYTES, -USABLE_BYTES)
    if grade == "quiet" and swapped > SWAP_BYTES:
        advice = "swapoff -a, or expect pauses of page faults"
        return Finding("free memory", "usable", value, advice)
    return make_finding("free memory", grade, value, "end what holds memory, or raise the limit")


def read_memory_limit(proc: Path = _PROC, sys: Path = _SYS) -> int | None:
    """Smallest memory limit of the control groups in bytes; None without one."""
    limits = [
        int(text)
        for folder in _control_groups("memory", proc, sys)
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := _read(folder / name)) and text.isdecimal()
    ]
    return min(limits, default=None)


def measure_floor(backend: str, budget_s: float) -> Timings:
    """Measure an attention call against its own twin until the budget ends.

    Args:
        backend: what runs the call; its output is checked first.
        budget_s: seconds, warm-up included.
    """
    pin_allocator(reuse=True)
    inputs = make_inputs(_CELL)
    call = make_stage_call(inputs, backend, _CELL)
    check_call(inputs, call, backend, _CELL)
    return measure_latency(
        {backend: call},
        backend,
        budget_s=budget_s,
        max_rounds=10_000,
        target_halfwidth=0.0,
        calls_per_run={backend: call.layers},
    )


def judge_floor(result: Timings) -> list[Finding]:
    """Grade the noise floor by what it does to verdicts, and the samples by their modes."""
    edge = max(THRESHOLD, FLOOR_FACTOR * result.floor)
    samples_ms = np.array(result.contenders[result.baseline].samples_ms + result.twin_samples_ms)
    lower, middle, upper = np.quantile(samples_ms, [0.25, 0.5, 0.75])
    floor = make_finding(
        "A/A floor",
        grade_by(result.floor, QUIET_FLOOR, USABLE_FLOOR),
        f"{result.floor:.2%} in {result.rounds} rounds of {result.baseline}, {middle:.3g} ms; "
        f"verdicts beyond {edge:.1%}",
        "measure longer (--budget), or on a less loaded machine",
    )
    spread = f"middle half within {(upper - lower) / middle:.1%} of the median"
    modes_ms = find_modes(samples_ms)
    if modes_ms is None:
        return [floor, Finding("samples", "quiet", spread)]
    value = f"two modes, {modes_ms[0]:.3g} and {modes_ms[1]:.3g} ms; {spread}"
    advice = "look for a changing clock, a neighbor on the core, or an allocator that adapts"
    return [floor, Finding("samples", "usable", value, advice)]


def find_modes(samples: np.ndarray) -> tuple[float, float] | None:
    """Medians of the two halves that a sample falls into; None where it does not.

    The sorted logarithms are cut where the two parts explain most of the variance (Otsu 1979),
    with a tenth or more on either side, and the outermost twentieths left out.
    """
    ordered = np.sort(np.log(samples))
    trim = ordered.size // 20
    ordered = ordered[trim : ordered.size - trim]
    n, variance = ordered.size, ordered.var()
    cuts = np.arange(max(1, n // 10), n - n // 10)
    if not variance or not cuts.size:
        return None
    sums = np.cumsum(ordered)
    left, right = sums[cuts - 1] / cuts, (sums[-1] - sums[cuts - 1]) / (n - cuts)
    explained = cuts * (n - cuts) / n**2 * (right - left) ** 2 / variance
    cut = cuts[np.argmax(explained)]
    low, high = np.exp([np.median(ordered[:cut]), np.median(ordered[cut:])])
    if explained.max() < _MODES_EXPLAIN or high < _MODES_RATIO * low:
        return None
    return float(low), float(high)


def _control_groups(controller: str, proc: Path, sys: Path) -> Iterator[Path]:
    """Folders of the groups of this process that may limit it, the root's last."""
    for line in (_read(proc / "self" / "cgroup") or "").splitlines():
        _, controllers, group = line.split(":", 2)
        root = sys / "fs" / "cgroup"
        if controllers:
            if controller not in controllers.split(","):
                continue
            root /= controller
        folder = root / group.lstrip("/")
        yield folder
        # A container may be given groups that it does not see; then the root is its own.
        while folder != root:
            folder = folder.parent
            yield folder


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
