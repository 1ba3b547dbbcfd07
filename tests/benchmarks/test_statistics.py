import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.measure.statistics import (
    MIN_PAIRS,
    Ratio,
    bootstrap_interval,
    compare_paired,
    judge,
)

times = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30)


@pytest.mark.parametrize("statistic", [np.median, np.mean])
def test_interval_agrees_with_scipy(statistic):
    sample = np.random.default_rng(3).normal(size=60)
    expected = stats.bootstrap(
        (sample,), statistic, confidence_level=0.99, method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    interval = bootstrap_interval(sample, statistic, resamples=20_000)
    np.testing.assert_allclose(interval, expected, atol=0.03)


def test_interval_covers_the_median_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(300):
        lo, hi = bootstrap_interval(rng.normal(size=40), level=0.9, resamples=400, seed=seed)
        hits += lo <= 0 <= hi
    assert 0.85 <= hits / 300 <= 0.96


def test_interval_is_repeatable_and_widens_with_the_level():
    sample = np.random.default_rng(1).normal(size=50)
    assert bootstrap_interval(sample) == bootstrap_interval(sample)
    lo, hi = bootstrap_interval(sample, level=0.5)
    wide_lo, wide_hi = bootstrap_interval(sample, level=0.99)
    assert wide_lo < lo < hi < wide_hi


@given(times)
def test_interval_stays_within_the_sample(values):
    lo, hi = bootstrap_interval(values, resamples=50)
    assert min(values) <= lo <= hi <= max(values)


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]]])
def test_interval_rejects_what_is_not_a_sample(values):
    with pytest.raises(ValueError, match="non-empty 1-D"):
        bootstrap_interval(values)


@pytest.mark.parametrize("level", [0, 1, 99])
def test_interval_rejects_a_level_that_is_no_probability(level):
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval([1.0, 2.0], level=level)


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
    assert backward.halfwidth == pytest.approx(forward.halfwidth, rel=0.2)


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
