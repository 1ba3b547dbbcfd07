import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measure import machine
from benchmarks.measure.machine import (
    PROBE_BYTES,
    QUIET_FLOOR,
    USABLE_FLOOR,
    Finding,
    check_free_memory,
    check_frequency,
    check_load,
    check_memory_probe,
    check_queue,
    check_threads,
    check_timer,
    find_modes,
    judge_floor,
    judge_probe,
    measure_floor,
    read_cpu_quota,
    read_memory_limit,
    worst_grade,
)
from benchmarks.measure.timing import measure_latency
from benchmarks.records.statistics import Ratio, judge

GIB = 2**30


@pytest.fixture
def roots(tmp_path):
    """Empty /proc and /sys, and a function that writes files into them."""

    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"{text}\n")

    return tmp_path / "proc", tmp_path / "sys", write


def test_overall_grade_is_the_worst_of_those_given():
    quiet, usable, unfit, none = (Finding("c", g, "v") for g in ("quiet", "usable", "unfit", None))
    assert worst_grade([quiet, none]) == "quiet"
    assert worst_grade([none, usable, quiet]) == "usable"
    assert worst_grade([unfit, none, quiet, usable]) == "unfit"
    assert worst_grade([none]) == "quiet"


def test_nothing_readable_is_said_and_costs_no_grade(roots):
    proc, sys, _ = roots
    findings = [
        check_load(lambda seconds: None, proc),
        check_queue(proc),
        check_frequency(sys),
        check_free_memory(proc, sys),
    ]
    assert {finding.grade for finding in findings} == {None}
    assert all("not readable" in finding.value for finding in findings)
    assert check_threads(2, 2, {}, proc, sys).grade == "quiet"


@pytest.mark.parametrize(
    ("stamps", "grade", "words"),
    [
        (itertools.count(0, 1e-7), "quiet", "step 100 ns, a read 100 ns"),
        (itertools.count(0, 15e-6), "usable", "step 15000 ns"),
        (itertools.count(0, 1e-3), "unfit", "step 1000000 ns"),
        ((0, 1e-7, 2e-7, 1e-7, 3e-7), "unfit", "went backward 1 times"),
        (itertools.repeat(4.0), "unfit", "stood still"),
    ],
)
def test_timer_is_graded_by_its_smallest_step(stamps, grade, words):
    stamps = iter(stamps)
    finding = check_timer(lambda: next(stamps), reads=5)
    assert finding.grade == grade
    assert words in finding.value
    assert bool(finding.advice) == (grade != "quiet")


def test_coarse_clock_is_graded_by_its_ticks_not_its_reads():
    reads = itertools.count()
    finding = check_timer(lambda: next(reads) // 10 * 1e-3, reads=100)
    assert (finding.grade, finding.value.split(",")[0]) == ("unfit", "step 1000000 ns")


@pytest.mark.parametrize(
    ("user", "idle", "steal", "grade"),
    [
        (2, 198, 0, "quiet"),
        (20, 180, 0, "usable"),
        (100, 100, 0, "unfit"),
        (0, 194, 6, "usable"),
        (0, 180, 20, "unfit"),
    ],
)
def test_load_is_what_others_used_while_we_slept(roots, user, idle, steal, grade):
    proc, _, write = roots
    write("proc/stat", "cpu  1000 5 300 4000 70 0 8 50 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0")

    def wait(seconds):
        assert seconds == 1
        write("proc/stat", f"cpu  {1000 + user} 5 300 {4000 + idle} 70 0 8 {50 + steal} 0 0")

    finding = check_load(wait, proc)
    assert finding.grade == grade
    assert f"{user / 200:.0%} busy, {steal / 200:.1%} stolen" in finding.value


def test_queue_tells_load_and_pressure(roots):
    proc, _, write = roots
    write("proc/loadavg", "1.50 0.75 0.25 3/105 996")
    assert check_queue(proc).value == "load 1.50, 0.75, 0.25; runnable 3"
    write("proc/pressure/cpu", "some avg10=6.85 avg60=0.5 avg300=0.3 total=12\nfull avg10=0.00")
    assert check_queue(proc).value.endswith("waited for a processor 6.85 % of 10 s")


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        ("0::/", {"cpu.max": "150000 100000"}, 1.5),
        ("0::/", {"cpu.max": "max 100000"}, None),
        ("0::/a/b", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000"}, 2),
        ("0::/host/only", {"cpu.max": "300000 100000"}, 3),
        ("4:cpu,cpuacct:/x", {"cpu/x/cpu.cfs_quota_us": "50000"}, 0.5),
        ("4:cpu:/x", {"cpu/x/cpu.cfs_quota_us": "-1"}, None),
        ("4:memory:/x", {"cpu/x/cpu.cfs_quota_us": "50000"}, None),
    ],
)
def test_quota_is_the_smallest_of_the_groups(roots, groups, files, quota):
    proc, sys, write = roots
    write("proc/self/cgroup", groups)
    for name, text in files.items():
        write(f"sys/fs/cgroup/{name}", text)
        write("sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000")
    assert read_cpu_quota(proc, sys) == quota


@pytest.mark.parametrize(
    ("threads", "cores", "limit", "grade"),
    [
        (2, 2, "max", "quiet"),
        (1, 4, "max", "quiet"),
        (4, 2, "max", "unfit"),
        (4, 4, "200000", "unfit"),
        (2, 4, "200000", "usable"),
        (4, 4, "800000", "quiet"),
    ],
)
def test_threads_must_have_a_core_each(roots, threads, cores, limit, grade):
    proc, sys, write = roots
    write("proc/self/cgroup", "0::/")
    write("sys/fs/cgroup/cpu.max", f"{limit} 100000")
    finding = check_threads(threads, cores, {"OMP_NUM_THREADS": "7"}, proc, sys)
    assert finding.grade == grade
    assert f"{threads} threads on {cores} cores" in finding.value
    assert "OMP_NUM_THREADS=7" in finding.value
    if grade == "unfit":
        assert "set OMP_NUM_THREADS=2" in finding.advice


@pytest.mark.parametrize(
    ("governors", "grade"),
    [(["performance"] * 2, "quiet"), (["performance", "powersave"], "usable")],
)
def test_governor_of_every_processor_counts(roots, governors, grade):
    _, sys, write = roots
    for index, governor in enumerate(governors):
        write(f"sys/devices/system/cpu/cpu{index}/cpufreq/scaling_governor", governor)
    write("sys/devices/system/cpu/intel_pstate/no_turbo", "0")
    write("sys/devices/system/cpu/smt/active", "1")
    finding = check_frequency(sys)
    assert finding.grade == grade
    assert finding.value == f"governor {', '.join(sorted(set(governors)))}; turbo on; SMT on"
    (sys / "devices/system/cpu/intel_pstate/no_turbo").unlink()
    write("sys/devices/system/cpu/cpufreq/boost", "0")
    assert "turbo off" in check_frequency(sys).value


@pytest.mark.parametrize(
    ("available_gib", "swapped_mib", "limit", "grade"),
    [
        (8, 0, "max", "quiet"),
        (8, 512, "max", "usable"),
        (2, 0, "max", "usable"),
        (0.5, 0, "max", "unfit"),
        (8, 0, str(2 * GIB), "usable"),
        (8, 0, str(GIB // 2), "unfit"),
        (8, 0, str(2**63 - 4096), "quiet"),
    ],
)
def test_free_memory_counts_limit_and_swap(roots, available_gib, swapped_mib, limit, grade):
    proc, sys, write = roots
    write(
        "proc/meminfo",
        f"MemTotal: {16 * 2**20} kB\nMemAvailable: {int(available_gib * 2**20)} kB\n"
        f"SwapTotal: {2**20} kB\nSwapFree: {2**20 - 1024 * swapped_mib} kB",
    )
    write("proc/self/cgroup", "0::/")
    write("sys/fs/cgroup/memory.max", limit)
    finding = check_free_memory(proc, sys)
    assert finding.grade == grade
    assert bool(finding.advice) == (grade != "quiet")
    assert f"{available_gib:.1f} GiB free, {swapped_mib} MiB swapped out" in finding.value
    assert ("limit" in finding.value) == (limit.isdecimal() and int(limit) < 16 * GIB)


def test_memory_limit_of_old_groups_is_read(roots):
    proc, sys, write = roots
    write("proc/self/cgroup", "8:memory:/a\n0::/")
    write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", str(GIB))
    assert read_memory_limit(proc, sys) == GIB


@pytest.mark.parametrize(
    ("read_bytes", "grade"),
    [
        (PROBE_BYTES, "quiet"),
        (PROBE_BYTES - 50 * 4096, "quiet"),
        (PROBE_BYTES // 2, "unfit"),
        (PROBE_BYTES + 2**20, "unfit"),
        (None, "usable"),
    ],
)
def test_probe_must_read_its_own_size(read_bytes, grade):
    assert judge_probe(read_bytes).grade == grade


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc/self/clear_refs"
)
def test_probe_reads_this_machine():
    assert check_memory_probe().grade == "quiet"


class Clock:
    """A clock that a call advances by the next of some durations."""

    def __init__(self, durations_s):
        self.durations_s = itertools.cycle(durations_s)
        self.now_s = 0.0

    def call(self):
        self.now_s += next(self.durations_s)

    def measure(self, rounds):
        return measure_latency(
            {"native": self.call},
            "native",
            budget_s=1e6,
            max_rounds=rounds,
            target_halfwidth=0.0,
            clock=lambda: self.now_s,
        )


@pytest.mark.parametrize(
    ("noise", "grade"), [(0.0, "quiet"), (0.001, "quiet"), (0.02, "usable"), (0.2, "unfit")]
)
def test_floor_is_graded_by_what_a_verdict_needs(noise, grade):
    rng = np.random.default_rng(0)
    result = Clock(0.01 * np.exp(noise * rng.normal(size=997))).measure(rounds=150)
    floor, samples = judge_floor(result)
    assert (floor.grade, samples.grade) == (grade, "quiet")
    assert f"{result.floor:.2%} in 150 rounds of native, " in floor.value
    assert f"beyond {max(0.02, 3 * result.floor):.1%}" in floor.value


@pytest.mark.parametrize(("floor", "ratio"), [(QUIET_FLOOR, 1.021), (USABLE_FLOOR, 1.051)])
def test_limits_of_the_floor_are_where_verdicts_at_2_and_5_percent_end(floor, ratio):
    seen = Ratio(ratio, ratio - 5e-4, ratio + 5e-4, pairs=20)
    assert judge(seen, floor).label == "SLOWER"
    assert judge(seen, 1.05 * floor).label != "SLOWER"


def test_two_modes_are_found():
    rng = np.random.default_rng(0)
    slow = rng.random(997) < 0.5
    result = Clock(np.where(slow, 0.057, 0.025) * rng.lognormal(0, 0.001, 997)).measure(100)
    finding = judge_floor(result)[1]
    assert finding.grade == "usable"
    assert finding.value.startswith("two modes, 25 and 57")


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.normal(10, 1, 500),
        lambda rng: rng.uniform(5, 15, 500),
        lambda rng: rng.lognormal(sigma=0.3, size=500),
        lambda rng: np.where(rng.random(500) < 0.02, 40.0, 10.0) * rng.lognormal(0, 0.02, 500),
        lambda rng: np.where(rng.random(500) < 0.5, 10.0, 10.2),
        lambda rng: np.full(16, 3.0),
        lambda rng: np.array([1.0]),
    ],
    ids=["normal", "uniform", "lognormal", "outliers", "close", "constant", "single"],
)
def test_one_mode_is_not_two(draw):
    assert find_modes(draw(np.random.default_rng(0))) is None


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_modes_are_their_medians(share):
    rng = np.random.default_rng(1)
    samples = np.where(rng.random(500) < share, 57.0, 25.0) * rng.lognormal(0, 0.01, 500)
    assert find_modes(samples) == pytest.approx((25, 57), rel=0.01)


def test_floor_is_measured_on_a_call_that_is_checked(monkeypatch):
    checked = []

    def check(inputs, call, backend, cell):
        checked.append(backend)
        assert call().isfinite().all()

    monkeypatch.setattr(machine, "check_call", check)
    small = machine._CELL.model_copy(update={"n": 64, "k": 16, "windows": 1})
    monkeypatch.setattr(machine, "_CELL", small)
    result = measure_floor("sdpa", budget_s=0.1)
    assert checked == ["sdpa"]
    assert result.stopped_by == "budget"
    assert len(result.twin_samples_ms) == result.rounds >= 8


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux's /proc")
def test_this_machine_is_readable():
    assert "busy" in check_load(lambda seconds: sum(range(3_000_000))).value
    assert check_queue().value.startswith("load ")
    assert "GiB free" in check_free_memory().value
    assert check_timer().grade == "quiet"
    cores = len(os.sched_getaffinity(0))
    assert check_threads(10_000, cores).grade == "unfit"
