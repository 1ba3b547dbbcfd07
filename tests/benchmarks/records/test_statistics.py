import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.records.statistics import (
    MIN_PAIRS,
    Ratio,
    compare_paired,
    judge,
    median_interval,
    wilson_interval,
)

times = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30)
MODE_GAP = math.log(57 / 25)
# Distributions with a median of 0, and all their mass but a null set off it.
CENTERED = {
    "normal": lambda rng, size: rng.normal(size=size),
    "lognormal": lambda rng, size: rng.lognormal(size=size) - 1,
    "student-t-2": lambda rng, size: rng.standard_t(2, size=size),
    "bimodal": lambda rng, size: rng.choice([-1, 1], size) + rng.normal(scale=0.05, size=size),
}


def count_outside(n):
    """Order statistics that lie outside the 99 % interval of a median at either end."""
    return max(r for r in range(n) if r == 0 or 2 * stats.binom.cdf(r, n, 0.5) <= 0.01)


def count_verdicts(log_ratios, floors=0.0):
    """Labels of many measurements [replications, pairs], and the floor of each."""
    floors = np.broadcast_to(floors, len(log_ratios))
    ratios = [compare_paired(np.exp(row), np.ones(row.size)) for row in log_ratios]
    return Counter(judge(r, f).label for r, f in zip(ratios, floors, strict=True))


def assert_probable(hits, trials, probability):
    """Fail where a count has a chance of less than one in a hundred thousand."""
    lo, hi = stats.binom.ppf([5e-6, 1 - 5e-6], trials, probability)
    assert lo <= hits <= hi, (hits / trials, probability)


@pytest.mark.parametrize("n", [8, 9, 10, 12, 15, 30, 31, 200, 2000])
def test_median_interval_agrees_with_scipy(n):
    sample = np.random.default_rng(n).normal(size=n)
    expected = stats.quantile_test(sample, p=0.5).confidence_interval(0.99)
    assert median_interval(sample) == (expected.low, expected.high)


@pytest.mark.parametrize("n", [8, 9, 12, 20, 50, 200])
@pytest.mark.parametrize("name", CENTERED)
def test_median_interval_covers_as_often_as_the_binomial_says(name, n):
    coverage = 1 - 2 * stats.binom.cdf(count_outside(n), n, 0.5)
    assert coverage >= 0.99
    samples = CENTERED[name](np.random.default_rng(n), (2000, n))
    ends = np.array([median_interval(sample) for sample in samples])
    covered = np.count_nonzero((ends[:, 0] <= 0) & (ends[:, 1] >= 0))
    assert_probable(covered, 2000, coverage)


def test_median_interval_of_few_samples_is_their_range():
    assert median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
    assert median_interval([5.0]) == (5.0, 5.0)


@given(times, st.floats(0.01, 0.999))
def test_median_interval_holds_the_median_and_mirrors(values, level):
    lo, hi = median_interval(values, level)
    assert lo <= np.median(values) <= hi
    assert {lo, hi} <= set(values)
    assert median_interval([-v for v in values], level) == (-hi, -lo)


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]]])
def test_interval_rejects_what_is_not_a_sample(values):
    with pytest.raises(ValueError, match="non-empty 1-D"):
        median_interval(values)


@pytest.mark.parametrize("level", [0, 1, 99])
def test_interval_rejects_a_level_that_is_no_probability(level):
    with pytest.raises(ValueError, match="level"):
        median_interval([1.0, 2.0], level=level)


def test_fewest_pairs_are_those_whose_range_covers_the_median():
    assert 1 - 2.0 ** (1 - MIN_PAIRS) >= 0.99
    assert 1 - 2.0 ** (2 - MIN_PAIRS) < 0.99


def test_pairing_cancels_what_a_round_shares():
    drift = np.random.default_rng(0).lognormal(sigma=1.0, size=30)
    ratio = compare_paired(1.25 * drift, drift)
    assert (ratio.value, ratio.lo, ratio.hi) == pytest.approx((1.25, 1.25, 1.25))
    assert ratio.pairs == 30
    assert ratio.halfwidth == pytest.approx(0, abs=1e-12)


def test_ratio_is_the_exponential_of_the_median_log_ratio():
    ratio = compare_paired([1.0, 4.0], [1.0, 1.0])
    assert ratio.value == pytest.approx(2.0)


def test_swapping_the_series_inverts_the_ratio():
    rng = np.random.default_rng(2)
    a, b = rng.lognormal(size=25), rng.lognormal(size=25)
    forward, backward = compare_paired(a, b), compare_paired(b, a)
    assert backward.value == pytest.approx(1 / forward.value)
    assert backward.halfwidth == pytest.approx(forward.halfwidth)


@given(times, st.floats(1e-3, 1e3))
def test_ratio_ignores_the_unit(values, unit):
    other = [1.0 + i % 3 for i in range(len(values))]
    scaled = compare_paired([unit * v for v in values], [unit * v for v in other])
    assert scaled.value == pytest.approx(compare_paired(values, other).value)


@pytest.mark.parametrize(
    ("samples", "baseline", "message"),
    [
        ([], [], "non-empty"),
        ([1.0], [1.0, 2.0], "equal lengths"),
        ([0.0], [1.0], "positive and finite, got 0.0"),
        ([1.0], [-2.0], "positive and finite, got -2.0"),
        ([1.0], [math.nan], "positive and finite, got nan"),
    ],
)
def test_comparison_rejects_bad_series(samples, baseline, message):
    with pytest.raises(ValueError, match=message):
        compare_paired(samples, baseline)


def test_distance_from_one_takes_the_farther_side():
    assert Ratio(1.0, 0.97, 1.01, 20).distance_from_one == pytest.approx(0.03)
    assert Ratio(1.0, 0.99, 1.04, 20).distance_from_one == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("lo", "hi", "floor", "label"),
    [
        (1.03, 1.05, 0.0, "SLOWER"),
        (0.94, 0.97, 0.0, "FASTER"),
        (0.985, 1.015, 0.0, "SAME"),
        (1.01, 1.05, 0.0, "UNCLEAR"),
        (0.90, 0.99, 0.0, "UNCLEAR"),
        (0.90, 1.10, 0.0, "UNCLEAR"),
        (1.03, 1.05, 0.02, "SAME"),
        (1.05, 1.09, 0.02, "UNCLEAR"),
        (1.07, 1.09, 0.02, "SLOWER"),
        (0.93, 0.94, 0.02, "FASTER"),
        (math.nan, math.nan, 0.0, "UNCLEAR"),
    ],
)
def test_verdict_follows_the_interval_and_the_floor(lo, hi, floor, label):
    verdict = judge(Ratio(math.sqrt(lo * hi), lo, hi, pairs=20), floor)
    assert verdict.label == label
    assert f"{max(1.02, 1 + 3 * floor):.4f}" in verdict.reason


def test_lower_edge_of_the_band_is_the_reciprocal_of_the_upper():
    ratio = Ratio(0.5, 0.4, 0.51, pairs=20)
    assert judge(ratio, 0.0, threshold=1.0).label == "UNCLEAR"
    assert judge(Ratio(0.45, 0.4, 0.49, pairs=20), 0.0, threshold=1.0).label == "FASTER"


@given(st.floats(0.5, 2), st.floats(1, 1.2), st.floats(0, 0.1))
def test_verdict_mirrors_when_the_ratio_is_inverted(lo, growth, floor):
    mirrored = {"FASTER": "SLOWER", "SLOWER": "FASTER"}
    hi = lo * growth
    label = judge(Ratio(lo, lo, hi, 20), floor).label
    inverse = judge(Ratio(1 / lo, 1 / hi, 1 / lo, 20), floor).label
    assert inverse == mirrored.get(label, label)


def test_too_few_pairs_prove_nothing():
    verdict = judge(Ratio(2.0, 1.9, 2.1, pairs=MIN_PAIRS - 1), 0.0)
    assert verdict.label == "UNCLEAR"
    assert f"at least {MIN_PAIRS}" in verdict.reason


@pytest.mark.parametrize("floor", [-0.1, math.nan])
def test_verdict_rejects_a_floor_that_is_no_distance(floor):
    with pytest.raises(ValueError, match="must be >= 0"):
        judge(Ratio(1.0, 1.0, 1.0, 20), floor)


@pytest.mark.parametrize(("noise", "pairs"), [(0.01, 8), (0.02, 20), (0.02, 60), (0.04, 200)])
def test_power_is_what_the_binomial_says(noise, pairs):
    # SLOWER means that no more pairs than the interval leaves out lie below the band's edge.
    rng = np.random.default_rng(pairs)
    standard = rng.normal(size=(2000, pairs))
    powers = []
    for true_ratio in (1.00, 1.02, 1.03, 1.05, 1.10):
        below = stats.norm.cdf(math.log(1.02 / true_ratio) / noise)
        power = stats.binom.cdf(count_outside(pairs), pairs, below)
        found = count_verdicts(math.log(true_ratio) + noise * standard)
        assert_probable(found["SLOWER"], 2000, power)
        assert not found["FASTER"]
        powers.append(found["SLOWER"] / 2000)
    assert powers == sorted(powers)
    assert max(powers[:2]) <= 0.01
    assert powers[-1] >= 0.99


def test_twin_costs_power_and_keeps_alarms_rare():
    rng = np.random.default_rng(0)
    base, twin, other = rng.normal(scale=0.01, size=(3, 500, 40))
    floors = [
        compare_paired(*np.exp([t, b])).distance_from_one for t, b in zip(twin, base, strict=True)
    ]
    powers = {}
    for true_ratio in (1.00, 1.03, 1.05, 1.10):
        log_ratios = math.log(true_ratio) + other - base
        judged, fearless = count_verdicts(log_ratios, floors), count_verdicts(log_ratios)
        powers[true_ratio] = judged["SLOWER"] / 500
        assert judged["SLOWER"] <= fearless["SLOWER"]
        assert not judged["FASTER"]
    assert powers[1.00] == 0
    assert list(powers.values()) == sorted(powers.values())
    assert powers[1.10] >= 0.99


@pytest.mark.parametrize("pairs", [8, 20, 60])
@pytest.mark.parametrize("base_share", [0.5, 0.2])
def test_mixture_of_two_modes_is_a_verdict_only_where_most_pairs_differ(base_share, pairs):
    # Both contenders take 25 or 57 ms. A pair lies above the band only where the contender is in
    # its slow mode and the baseline is not, and with equal shares that is a quarter of the pairs.
    rng = np.random.default_rng(pairs)
    for share in (base_share, 0.7, 0.95):
        slow = rng.random((400, pairs)) < share
        slow_base = rng.random((400, pairs)) < base_share
        jitter = rng.normal(scale=0.002, size=(400, pairs))
        log_ratios = MODE_GAP * (slow.astype(int) - slow_base) + jitter
        found = count_verdicts(log_ratios)
        above = share * (1 - base_share)
        power = stats.binom.cdf(count_outside(pairs), pairs, 1 - above)
        assert_probable(found["SLOWER"], 400, power)
        if share == base_share:
            assert not {"SLOWER", "FASTER"} & set(found)


@pytest.mark.parametrize("value", [0.3, 0.478, 1.0, 3.0])
def test_above_a_floor_of_a_fifth_nothing_is_judged(value):
    ratio = Ratio(value, 0.95 * value, 1.05 * value, pairs=20)
    verdict = judge(ratio, 1.05)
    assert verdict.label == "UNCLEAR"
    assert "noisy: the floor of 105% is above 20%" in verdict.reason
    assert judge(ratio, 0.201).label == "UNCLEAR"
    assert judge(Ratio(1.0, 0.99, 1.01, 20), 0.2).label == "SAME"


@pytest.mark.parametrize(("lo", "hi"), [(0.787, 0.932), (0.98, 1.21), (0.79, 0.8)])
def test_what_may_be_a_fifth_apart_is_not_the_same_however_wide_the_band(lo, hi):
    assert judge(Ratio(math.sqrt(lo * hi), lo, hi, 20), 0.19).label == "UNCLEAR"


def test_wilson_interval_against_scipy():
    for successes in (0, 1, 50, 100):
        expected = stats.binomtest(successes, 100).proportion_ci(0.99, method="wilson")
        found = wilson_interval(successes, 100)
        assert found == pytest.approx((expected.low, expected.high), abs=1e-12)
