"""The paired tier on stand-ins for its workers, whose times follow known distributions."""

import itertools
import random
from functools import partial

import numpy as np
import pytest

from benchmarks.records.statistics import Verdict
from benchmarks.regression import calibration, paired
from benchmarks.regression.calibration import (
    allowed_errors,
    append_calibration,
    read_calibrations,
    render_calibrations,
)
from benchmarks.regression.comparison import (
    POOLS,
    SIDES,
    BaseCommitError,
    PairedResult,
    compare,
    is_head,
)
from benchmarks.regression.paired import confirm
from benchmarks.regression.process import WorkerError, WorkerTimeoutError

LIMITS = {"budget_s": 3.0, "threshold": 0.02}
OUTPUT = np.linspace(-1, 1, 64, dtype=np.float32)


@pytest.fixture(autouse=True)
def _same_order_of_visits_each_time():
    state = random.getstate()
    random.seed(0)
    yield
    random.setstate(state)


class Machine:
    """Fake workers on one fake clock; `shape` draws the time of a call in ms at a time in s."""

    def __init__(self, seed, shape, slowdown=lambda name, life: 1.0, output=None, events=None):
        self.random = np.random.default_rng(seed)
        self.now_s = 0.0
        self.shape = shape
        self.slowdown = slowdown
        self.output = output
        self.events = events or {}
        self.lives = itertools.count()
        self.open = 0

    def clock(self):
        return self.now_s

    def start(self, side):
        if ("start", side) in self.events:
            raise self.events["start", side]
        self.open += 1
        return FakeTimer(self, side, next(self.lives))

    def compare(self, names=("a",), **options):
        results = compare(names, self.start, clock=self.clock, **LIMITS, **options)
        assert self.open == 0, "workers are left behind"
        return results


class FakeTimer:
    def __init__(self, machine, side, life):
        self.machine, self.side, self.life = machine, side, life

    def prepare(self, name):
        self.name = name
        if (name, self.side) in self.machine.events:
            raise self.machine.events[name, self.side]
        changed = is_head(self.side) and self.machine.output is not None
        return self.machine.output if changed else OUTPUT

    def time_calls_ms(self, calls):
        machine = self.machine
        factor = machine.slowdown(self.name, self.life) if is_head(self.side) else 1.0
        times = [factor * machine.shape(machine.random, machine.now_s) for _ in range(calls)]
        machine.now_s += sum(times) / 1e3
        return times

    def close(self):
        self.machine.open -= 1


def steady(random, now_s):
    return 5 * np.exp(0.02 * random.standard_normal())


def drifting(random, now_s):
    return steady(random, now_s) * (1 + 0.1 * now_s)


def bimodal(random, now_s):
    """Another process takes one of the cores every other quarter of a second."""
    return steady(random, now_s) * (1.6 if now_s % 0.5 > 0.25 else 1.0)


def heavy_tailed(random, now_s):
    return 5 * np.exp(0.01 * min(abs(random.standard_cauchy()), 100.0))


def labels(seeds, shape, planted=0.0):
    return [
        result.verdict.label
        for seed in seeds
        for result in Machine(seed, shape, lambda name, life: 1 + planted).compare()
    ]


@pytest.mark.parametrize("shape", [steady, drifting, bimodal, heavy_tailed])
def test_equal_code_is_never_called_slower_or_faster(shape):
    assert set(labels(range(25), shape)) <= {"SAME", "UNCLEAR"}


@pytest.mark.parametrize("shape", [steady, drifting, bimodal])
def test_a_planted_slowdown_of_5_percent_is_found(shape):
    assert labels(range(20), shape, planted=0.05).count("SLOWER") >= 18


def test_a_speedup_is_faster():
    (result,) = Machine(0, steady, lambda name, life: 0.8).compare()
    assert result.verdict.label == "FASTER"
    assert result.ratio.value == pytest.approx(0.8, rel=0.02)
    assert result.head_ms / result.base_ms == pytest.approx(0.8, rel=0.03)


def test_a_base_process_that_is_odd_widens_the_band():
    """The base's own two processes differ by 5 %, so that 6 % mean nothing."""

    class Odd(Machine):
        def start(self, side):
            timer = super().start(side)
            timer.odd = 1.05 if side == "base-twin" else 1.0
            call = timer.time_calls_ms
            timer.time_calls_ms = lambda calls: [timer.odd * ms for ms in call(calls)]
            return timer

    (result,) = Odd(0, steady, lambda name, life: 1.06).compare()
    assert result.floor >= 0.045
    assert result.verdict.label not in {"SLOWER", "FASTER"}
    (result,) = Machine(0, steady, lambda name, life: 1.06).compare()
    assert result.verdict.label == "SLOWER"


def test_slower_twice_is_confirmed():
    (result,) = confirm(["a"], Machine(0, steady, lambda name, life: 1.2).compare)
    assert (result.verdict.label, result.confirmed) == ("SLOWER", True)


def test_slower_once_is_unclear():
    """Only the processes of the first measurement are slow."""
    first = len(SIDES) * POOLS
    machine = Machine(0, steady, lambda name, life: 1.2 if life < first else 1.0)
    (result,) = confirm(["a"], machine.compare)
    assert (result.verdict.label, result.confirmed) == ("UNCLEAR", False)
    assert "SLOWER at first, then SAME" in result.verdict.reason


def test_only_what_was_slower_is_measured_again():
    events = []
    machine = Machine(0, steady, lambda name, life: 1.2 if name == "b" else 1.0)
    results = confirm(["a", "b"], partial(machine.compare, on_event=events.append), events.append)
    assert [result.confirmed for result in results] == [False, True]
    again = next(index for index, text in enumerate(events) if "measuring again" in text)
    assert not [text for text in events[again + 1 :] if text.startswith("a:")]


@pytest.mark.parametrize(
    ("error", "status"),
    [(WorkerTimeoutError("no answer"), "timeout"), (WorkerError("x"), "failed")],
)
@pytest.mark.parametrize("side", ["base", "head"])
def test_others_go_on_after_one_fails(error, status, side):
    results = Machine(0, steady, events={("b", side): error}).compare(("a", "b", "c"))
    assert [result.status for result in results] == ["ok", status, "ok"]
    assert results[1].reason == f"{side}: {error}"
    assert results[1].verdict is None


def test_base_that_does_not_start():
    machine = Machine(0, steady, events={("start", "base"): WorkerError("ImportError: no x")})
    with pytest.raises(BaseCommitError, match="ImportError: no x"):
        machine.compare()
    assert machine.open == 0


def test_head_that_does_not_start_fails_everything():
    machine = Machine(0, steady, events={("start", "head"): WorkerError("SyntaxError: y")})
    results = machine.compare(("a", "b"))
    assert {(result.status, result.reason) for result in results} == {
        ("failed", "head: SyntaxError: y")
    }


@pytest.mark.parametrize(
    ("output", "status"),
    [
        (OUTPUT + np.float32(1e-6), "ok"),
        (OUTPUT * np.float32(1.01), "wrong-output"),
        (np.full_like(OUTPUT, np.nan), "wrong-output"),
        (OUTPUT[:-1], "wrong-output"),
        (OUTPUT.astype(np.float64), "wrong-output"),
    ],
)
def test_outputs_are_compared(output, status):
    (result,) = Machine(0, steady, output=output).compare()
    assert result.status == status


def test_wrong_output_says_how_wrong_and_what_to_do():
    (result,) = Machine(0, steady, output=OUTPUT + np.float32(0.5)).compare()
    assert "0.5, allowed 0.000345" in result.reason
    assert "changed outputs" in result.reason
    assert result.verdict is None


def test_outputs_may_change_where_that_is_said():
    results = Machine(0, steady, output=OUTPUT + 1).compare(("a", "b"), changed_outputs=["a"])
    assert [result.status for result in results] == ["ok", "wrong-output"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["nothing"]}, "unknown benchmark 'nothing'; valid: graph"),
        ({"changed_outputs": ["nothing"]}, "unknown benchmark 'nothing'"),
        ({"budget_s": 0.0}, "budget_s must be positive"),
        ({"timeout_s": -1.0}, "timeout_s must be positive"),
        ({"threshold": float("nan")}, "threshold must be >= 0"),
        ({"base": "no-such-commit"}, "unknown base commit 'no-such-commit'"),
        ({"base": "--all"}, "unknown base commit '--all'"),
    ],
)
def test_wrong_use(options, message):
    usual = {"base": "HEAD", "names": None, "timeout_s": 1.0, "on_event": print, **LIMITS}
    with pytest.raises(ValueError, match=message):
        paired.run_paired(**usual | options)


def test_every_benchmark_is_described():
    assert all(about.endswith(".") for about in paired.list_benchmarks().values())


@pytest.mark.parametrize(
    ("comparisons", "planted", "allowed"),
    [(100, 0.0, 1), (50, 0.0, 0), (50, 0.05, 5), (50, 0.1, 0)],
)
def test_errors_that_the_tier_may_make(comparisons, planted, allowed):
    assert allowed_errors(comparisons, planted) == allowed


@pytest.mark.parametrize(("planted", "wrong"), [(0.0, 2), (0.05, 5)])
def test_calibration_counts_what_was_wrong(monkeypatch, planted, wrong):
    """Of five benchmarks one is SLOWER and the rest SAME; seven comparisons are asked for."""

    def fake_compare(names, start, **limits):
        given = ["SLOWER" if name == "graph" else "SAME" for name in names]
        return [
            PairedResult(name, "ok", "", Verdict(label, ""))
            for name, label in zip(names, given, strict=True)
        ]

    monkeypatch.setattr(calibration, "compare", fake_compare)
    found = calibration.calibrate(7, load=not planted, planted=planted, **LIMITS)
    assert found.verdicts == {"SLOWER": 2, "SAME": 5}
    assert found.wrong == wrong
    assert found.wrong_rate[0] == found.wrong / 7
    assert len(found.results) == 7


@pytest.mark.parametrize("limits", [(0, 0.0, 1.0), (1, -0.1, 1.0), (1, 0.0, 0.0)])
def test_calibration_of_nothing(limits):
    comparisons, planted, budget_s = limits
    with pytest.raises(ValueError, match="need comparisons >= 1"):
        calibration.calibrate(
            comparisons, load=False, planted=planted, budget_s=budget_s, threshold=0.02
        )


def test_calibrations_on_record_are_shown_newest_of_a_kind(monkeypatch, tmp_path):
    def fake_compare(names, start, **limits):
        verdict = Verdict("SLOWER", "made up")
        return [PairedResult(name, "ok", "made up", verdict) for name in names]

    monkeypatch.setattr(calibration, "compare", fake_compare)
    path = tmp_path / "calibration.jsonl"
    with pytest.raises(ValueError, match="no calibration is on record"):
        read_calibrations(path)
    for comparisons, planted in ((4, 0.0), (6, 0.0), (8, 0.05)):
        found = calibration.calibrate(comparisons, load=False, planted=planted, **LIMITS)
        append_calibration(path, found)
    rows = [
        line.split(" | ")
        for line in render_calibrations(read_calibrations(path)).splitlines()
        if "SLOWER" in line and line.startswith("| ")
    ]
    assert [(row[0], row[3], row[5].split(":")[0]) for row in rows] == [
        ("| nothing", "6", "6"),
        ("| 5%", "8", "0"),
    ]


def test_long_tails_do_not_bend_the_ratio():
    """Of one entry against the average of two, the median would be 1 to 2 % too low here."""

    def skewed(random, now_s):
        return 5 + random.exponential(1.0)

    ratios = [
        result.ratio.value
        for seed in range(100)
        for result in Machine(seed, skewed, lambda name, life: 1.05).compare()
    ]
    assert np.median(ratios) == pytest.approx(1.05, abs=0.005)
