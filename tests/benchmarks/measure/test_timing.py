import math

import numpy as np
import pytest

from benchmarks.measure.timing import measure_latency
from benchmarks.records.statistics import compare_paired, judge


class Machine:
    """Fake machine: a clock that contenders advance, at a speed that drifts."""

    def __init__(self, seed=0, noise=0.0, drift=False):
        self.rng = np.random.default_rng(seed)
        self.noise = noise
        self.drift = drift
        self.now_s = 0.0
        self.walk = 0.0

    def clock(self):
        return self.now_s

    def slowdown(self):
        if not self.drift:
            return 1.0
        self.walk += self.rng.normal(scale=0.01)
        spike = 3.0 if self.rng.random() < 0.03 else 1.0
        throttled = 1.3 if self.now_s % 7 > 4 else 1.0
        return spike * throttled * math.exp(self.walk + 0.2 * math.sin(self.now_s))

    def make(self, cost_s, first_s=0.0):
        pending_s = [first_s]

        def contender():
            jitter = self.rng.lognormal(sigma=self.noise) if self.noise else 1.0
            self.now_s += (cost_s + pending_s.pop() if pending_s else cost_s) * (
                jitter * self.slowdown()
            )

        return contender


class ScheduledMachine(Machine):
    """A machine whose slowdown is a known function of its own time."""

    def __init__(self, slowdown_at):
        super().__init__()
        self.slowdown_at = slowdown_at

    def slowdown(self):
        return self.slowdown_at(self.now_s)


def measure(machine, costs_s, **options):
    contenders = {name: machine.make(cost) for name, cost in costs_s.items()}
    return measure_latency(contenders, "base", clock=machine.clock, **options)


def test_identical_contenders_raise_no_alarm_while_the_machine_drifts():
    labels = []
    for seed in range(50):
        machine = Machine(seed, noise=0.02, drift=True)
        result = measure(machine, {"base": 0.01, "same": 0.01}, budget_s=3.0, seed=seed)
        labels.append(result.contenders["same"].verdict.label)
    assert not {"FASTER", "SLOWER"} & set(labels)


def test_five_percent_are_caught_while_the_machine_drifts():
    labels = []
    for seed in range(30):
        machine = Machine(seed, noise=0.01, drift=True)
        costs_s = {"base": 0.01, "slow": 0.0105, "fast": 0.01 / 1.05}
        result = measure(machine, costs_s, budget_s=8.0, seed=seed)
        labels.append([result.contenders[name].verdict.label for name in ("slow", "fast")])
    slow, fast = zip(*labels, strict=True)
    assert slow.count("SLOWER") >= 25
    assert fast.count("FASTER") >= 25
    assert not {"FASTER", "SAME"} & set(slow)
    assert not {"SLOWER", "SAME"} & set(fast)


def test_samples_ratios_and_floor_are_exact_on_a_quiet_machine():
    machine = Machine()
    result = measure(machine, {"base": 0.25, "half": 0.125, "double": 0.5}, budget_s=60)
    assert result.stopped_by == "precision"
    assert result.rounds == 8
    assert result.floor == pytest.approx(0, abs=1e-9)
    assert result.elapsed_s == pytest.approx(machine.now_s)
    half = result.contenders["half"]
    assert half.samples_ms == pytest.approx([125.0] * 8)
    assert half.median_ms == pytest.approx(125.0)
    assert half.median_interval_ms == pytest.approx((125.0, 125.0))
    assert half.ratio.value == pytest.approx(0.5)
    assert {name: timing.verdict.label for name, timing in result.contenders.items()} == {
        "base": "SAME",
        "half": "FASTER",
        "double": "SLOWER",
    }
    assert result.twin_samples_ms == pytest.approx([250.0] * 8)


def test_every_round_calls_all_contenders_and_the_twin_in_changing_order():
    machine, calls, marks = Machine(), [], []
    contenders = {name: lambda name=name: calls.append(name) for name in "abc"}

    def clock():
        machine.now_s += 1e-3
        return machine.now_s

    result = measure_latency(
        contenders,
        "a",
        budget_s=100,
        min_rounds=20,
        on_round=lambda rounds, elapsed_s: marks.append((rounds, elapsed_s, len(calls))),
        clock=clock,
    )
    orders = [tuple(calls[end - 4 : end]) for _, _, end in marks]
    assert [rounds for rounds, _, _ in marks] == list(range(1, 21))
    assert all(sorted(order) == ["a", "a", "b", "c"] for order in orders)
    assert len(set(orders)) > 5
    elapsed_s = [elapsed for _, elapsed, _ in marks]
    assert elapsed_s == sorted(elapsed_s)
    assert all(len(t.samples_ms) == result.rounds for t in result.contenders.values())


def test_order_depends_on_the_seed_alone():
    def record(seed):
        machine, calls = Machine(), []
        contenders = {}
        for name in ("base", "other"):
            run = machine.make(0.01)
            contenders[name] = lambda name=name, run=run: (calls.append(name), run())
        measure_latency(contenders, "base", budget_s=5, seed=seed, clock=machine.clock)
        return calls

    assert record(1) == record(1)
    assert record(1) != record(2)


def test_first_call_is_kept_apart():
    machine = Machine()
    contenders = {"base": machine.make(0.1), "lazy": machine.make(0.1, first_s=5.0)}
    result = measure_latency(contenders, "base", budget_s=100, clock=machine.clock)
    lazy = result.contenders["lazy"]
    assert lazy.warm_up.first_call_ms == pytest.approx(5100)
    assert max(lazy.warm_up.samples_ms + lazy.samples_ms) == pytest.approx(100)
    assert lazy.verdict.label == "SAME"


def test_warm_up_goes_on_until_blocks_agree():
    machine, calls = Machine(), [0]

    def ramp():
        calls[0] += 1
        machine.now_s += 0.1 if calls[0] > 12 else 0.1 * (14 - calls[0])

    result = measure_latency({"base": ramp}, "base", budget_s=1000, clock=machine.clock)
    warm_up = result.contenders["base"].warm_up
    assert warm_up.settled
    assert warm_up.samples_ms[-6:] == pytest.approx([100.0] * 6)
    assert set(np.round(result.contenders["base"].samples_ms, 6)) == {100.0}


def test_warm_up_that_never_settles_ends_with_its_share_of_the_budget():
    machine, step_s = Machine(), [1e-3]

    def growing():
        step_s[0] *= 1.1
        machine.now_s += step_s[0]

    result = measure_latency({"base": growing}, "base", budget_s=1, clock=machine.clock)
    warm_up = result.contenders["base"].warm_up
    assert not warm_up.settled
    assert 250 <= warm_up.first_call_ms + sum(warm_up.samples_ms) < 500


def test_budget_ends_noisy_measurements():
    result = measure(Machine(noise=0.5), {"base": 0.1, "other": 0.1}, budget_s=20)
    assert result.stopped_by == "budget"
    assert 20 <= result.elapsed_s < 22
    assert result.twin_ratio.halfwidth > 0.01
    assert result.contenders["other"].verdict.label in {"SAME", "UNCLEAR"}


def test_minimum_of_rounds_outlasts_the_budget():
    result = measure(Machine(noise=0.5), {"base": 10.0, "other": 10.0}, budget_s=1)
    assert (result.stopped_by, result.rounds) == ("budget", 8)
    assert result.contenders["base"].warm_up.samples_ms == ()


def test_maximum_of_rounds_is_obeyed():
    result = measure(Machine(noise=0.5), {"base": 0.01}, budget_s=1e6, max_rounds=37)
    assert (result.stopped_by, result.rounds) == ("max-rounds", 37)


def test_waiting_for_the_device_is_timed():
    machine = Machine()

    def synchronize():
        machine.now_s += 0.5

    result = measure_latency(
        {"base": machine.make(0.25)},
        "base",
        budget_s=60,
        synchronize=synchronize,
        clock=machine.clock,
    )
    assert result.contenders["base"].median_ms == pytest.approx(750)


def test_outliers_are_kept():
    machine, calls = Machine(), [0]

    def hiccup():
        calls[0] += 1
        machine.now_s += 10.0 if calls[0] == 20 else 0.1

    result = measure_latency(
        {"base": hiccup}, "base", budget_s=1e4, min_rounds=20, clock=machine.clock
    )
    every = result.contenders["base"].samples_ms + result.twin_samples_ms
    assert max(every) == pytest.approx(10_000)


def test_real_clock_orders_real_work():
    contenders = {"base": lambda: sum(range(2_000)), "ten-fold": lambda: sum(range(20_000))}
    result = measure_latency(contenders, "base", budget_s=0.5)
    assert result.contenders["ten-fold"].ratio.lo > 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline": "absent"}, r"unknown baseline 'absent'; contenders are \['base'\]"),
        ({"min_rounds": 9, "max_rounds": 8}, "min_rounds <= max_rounds"),
        ({"min_rounds": 0}, "min_rounds <= max_rounds"),
        ({"budget_s": 0}, "budget_s must be positive"),
    ],
)
def test_wrong_use_is_refused(options, message):
    arguments = {"baseline": "base", "budget_s": 1.0, **options}
    with pytest.raises(ValueError, match=message):
        measure_latency({"base": lambda: None}, **arguments)


def test_work_of_several_calls_is_timed_per_call():
    machine = Machine()
    contenders = {"base": machine.make(0.25), "stage": machine.make(0.75)}
    result = measure_latency(
        contenders, "base", budget_s=60, calls_per_run={"stage": 6}, clock=machine.clock
    )
    stage = result.contenders["stage"]
    assert stage.samples_ms == pytest.approx([125.0] * 8)
    assert stage.warm_up.first_call_ms == pytest.approx(125.0)
    assert stage.ratio.value == pytest.approx(0.5)
    assert result.contenders["base"].median_ms == pytest.approx(250.0)


def measure_in_turn(machine, costs_s, calls):
    """What a naive benchmark does: every call of one contender, then every call of the next."""
    series = []
    for cost_s in costs_s:
        run = machine.make(cost_s)
        stamps = [machine.clock()]
        for _ in range(calls):
            run()
            stamps.append(machine.clock())
        series.append(np.diff(stamps))
    return series


@pytest.mark.parametrize("rate", [0.02, -0.01])
def test_interleaving_defeats_the_linear_drift_that_fools_turns(rate):
    def drift(now_s):
        return 1 + rate * now_s

    base, same = measure_in_turn(ScheduledMachine(drift), [0.1, 0.1], calls=100)
    fooled = judge(compare_paired(same, base), floor=0.0)
    assert fooled.label == ("SLOWER" if rate > 0 else "FASTER")

    costs_s = {"base": 0.1, "same": 0.1, "slow": 0.106}
    result = measure(ScheduledMachine(drift), costs_s, budget_s=20, min_rounds=40)
    labels = {name: timing.verdict.label for name, timing in result.contenders.items()}
    assert labels == {"base": "SAME", "same": "SAME", "slow": "SLOWER"}
    assert result.contenders["slow"].ratio.value == pytest.approx(1.06, abs=0.005)
    samples_ms = result.contenders["base"].samples_ms
    assert abs(samples_ms[-1] / samples_ms[0] - 1) > 0.05


def test_step_in_the_middle_moves_times_and_no_ratio():
    # Warm-up is 7 calls of each: 7 * (0.25 + 0.3125) s; a round takes 0.8125 s, so the step
    # comes in the sixth of fifteen rounds, and then a call takes twice as long.
    step_s = 7 * 0.5625 + 5.5 * 0.8125
    machine = ScheduledMachine(lambda now_s: 2.0 if now_s >= step_s else 1.0)
    costs_s = {"base": 0.25, "other": 0.3125}
    result = measure(machine, costs_s, budget_s=100, min_rounds=15)
    base, other = result.contenders["base"], result.contenders["other"]
    assert result.rounds == 15
    assert base.samples_ms[:5] == pytest.approx([250.0] * 5)
    assert base.samples_ms[6:] == pytest.approx([500.0] * 9)
    assert (base.median_ms, other.median_ms) == pytest.approx((500.0, 625.0))
    assert base.median_interval_ms == pytest.approx((250.0, 500.0))
    assert other.ratio.value == pytest.approx(1.25)
    assert (other.ratio.lo, other.ratio.hi) == pytest.approx((1.25, 1.25))
    assert other.verdict.label == "SLOWER"
    assert result.floor == pytest.approx(0)


def test_slow_start_of_the_machine_moves_no_ratio():
    machine = ScheduledMachine(lambda now_s: 3.0 if now_s < 6 else 1.0)
    result = measure(machine, {"base": 0.1, "other": 0.11}, budget_s=100, min_rounds=40)
    assert result.contenders["base"].median_ms == pytest.approx(100.0)
    assert max(result.contenders["base"].samples_ms) == pytest.approx(300.0)
    assert result.contenders["other"].ratio.value == pytest.approx(1.1)


@pytest.mark.parametrize(("budget_s", "stop"), [(60.0, ("precision", 8)), (3.0, ("budget", 3))])
def test_precision_needs_an_interval_even_where_fewer_rounds_will_do(budget_s, stop):
    machine = Machine()
    contenders = {"base": machine.make(0.25), "half": machine.make(0.125)}
    result = measure_latency(
        contenders, "base", budget_s=budget_s, min_rounds=3, clock=machine.clock
    )
    assert (result.stopped_by, result.rounds) == stop
    expected = "FASTER" if result.rounds == 8 else "UNCLEAR"
    assert result.contenders["half"].verdict.label == expected


@pytest.mark.parametrize(("growth", "settled"), [(1.04, True), (1.06, False)])
def test_warm_up_settles_where_blocks_of_three_differ_by_less_than_a_twentieth(growth, settled):
    machine, calls = Machine(), [0]

    def grow():
        machine.now_s += 1e-3 * growth ** ((calls[0] - 1) // 3)
        calls[0] += 1

    result = measure_latency({"base": grow}, "base", budget_s=1, clock=machine.clock)
    warm_up = result.contenders["base"].warm_up
    assert warm_up.settled == settled
    assert (len(warm_up.samples_ms) == 6) == settled


@pytest.mark.parametrize(("slow_rounds", "rounds"), [(0, 8), (1, 12), (2, 15), (3, 18), (4, 22)])
def test_precision_is_reached_once_the_interval_leaves_the_slow_rounds_out(slow_rounds, rounds):
    # Looks are taken after 8, 10, 12, 15, 18 and 22 rounds; the interval leaves out one sample
    # at either end from 11 rounds on, two from 15, three from 17, four from 20.
    machine, calls = Machine(), [0]
    warm_up_calls = 7

    def other():
        calls[0] += 1
        slow = warm_up_calls < calls[0] <= warm_up_calls + slow_rounds
        machine.now_s += 0.15 if slow else 0.1

    contenders = {"base": machine.make(0.1), "other": other}
    result = measure_latency(contenders, "base", budget_s=1e4, clock=machine.clock)
    assert (result.stopped_by, result.rounds) == ("precision", rounds)
    assert sum(ms > 125 for ms in result.contenders["other"].samples_ms) == slow_rounds
