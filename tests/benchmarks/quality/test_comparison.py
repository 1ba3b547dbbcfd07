from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmarks.quality import Evaluation, paired_gain
from benchmarks.quality.comparison import mean_interval
from benchmarks.quality.gallery import choose_examples

BLANK = Evaluation(
    task="sr-x2",
    dataset="toy",
    model="a",
    protocol="p@1",
    tiling="whole",
    degradation="imresize@1",
    images=0,
    coverage="",
    metrics={"psnr": None},
    unavailable={},
    per_image={},
    exact=0,
    failed={},
    data_digest="",
)


def scored(*values, column="psnr"):
    images = {f"image{index}": {column: value} for index, value in enumerate(values)}
    return replace(BLANK, per_image=images, metrics={column: None})


def test_gain_is_the_mean_of_the_paired_differences():
    rng = np.random.default_rng(0)
    theirs = rng.uniform(20, 40, 50)
    ours = theirs + rng.normal(0.3, 0.2, 50)
    gain = paired_gain(scored(*ours), scored(*theirs))
    assert gain.mean == pytest.approx((ours - theirs).mean())
    assert gain.differences == pytest.approx(tuple(ours - theirs))
    assert (gain.wins, gain.losses) == ((ours > theirs).sum(), (ours < theirs).sum())
    # Student's t with 49 degrees of freedom has its 99.5 % point at 2.680 (any printed table).
    reach = 2.680 * (ours - theirs).std(ddof=1) / np.sqrt(50)
    assert gain.lo == pytest.approx(gain.mean - reach, abs=1e-3 * reach)
    assert gain.hi == pytest.approx(gain.mean + reach, abs=1e-3 * reach)


TRIALS = 4000


def count_hits(draw, mean, count, seed):
    """How many of so many intervals of samples hold the mean."""
    rng = np.random.default_rng(seed)
    ends = np.array([mean_interval(draw(rng, count)) for _ in range(TRIALS)])
    return int(((ends[:, 0] <= mean) & (mean <= ends[:, 1])).sum())


@pytest.mark.parametrize("count", [5, 18, 100])
def test_interval_of_normal_values_holds_their_mean_in_99_percent(count):
    hits = count_hits(lambda rng, n: rng.normal(0.3, 0.2, n), 0.3, count, seed=count)
    assert stats.binom.ppf(1e-4, TRIALS, 0.99) <= hits <= stats.binom.ppf(1 - 1e-4, TRIALS, 0.99)


@pytest.mark.parametrize("count", [5, 18, 100])
def test_interval_of_skewed_values_holds_their_mean_nearly_as_often(count):
    # The skewness of a gamma distribution of shape 16 is 2 / sqrt(16) = 0.5.
    hits = count_hits(lambda rng, n: rng.gamma(16, 1 / 16, n), 1.0, count, seed=count)
    assert hits >= stats.binom.ppf(1e-4, TRIALS, 0.98)


def test_equal_differences_leave_no_doubt_and_a_single_one_has_no_interval():
    gain = paired_gain(scored(31.0, 32.0, 33.0), scored(30.0, 31.0, 32.0))
    assert (gain.lo, gain.mean, gain.hi) == (1.0, 1.0, 1.0)
    assert gain.describe(2) == "+1.00 [+1.00, +1.00]"
    gain = paired_gain(scored(31.0), scored(30.0))
    assert (gain.lo, gain.mean, gain.hi) == (None, 1.0, None)
    assert gain.describe(2) == "+1.00 [one image has no interval]"
    with pytest.raises(ValueError, match="2 values or more, got 1"):
        mean_interval([1.0])


def test_the_two_sides_mirror_each_other():
    ours, theirs = scored(30.0, 31.0, 29.0), scored(29.0, 31.0, 30.5)
    forth, back = paired_gain(ours, theirs), paired_gain(theirs, ours)
    assert forth.mean == pytest.approx(-back.mean)
    assert (forth.wins, forth.losses) == (back.losses, back.wins) == (1, 1)


def test_exact_images_count_and_are_in_no_mean():
    gain = paired_gain(scored("exact", 30.0, "exact"), scored(40.0, 29.0, "exact"))
    assert gain.differences == (1.0,)
    assert (gain.wins, gain.losses) == (2, 0)
    assert paired_gain(scored("exact"), scored(30.0)) is None


def test_only_images_of_both_are_compared():
    ours, theirs = scored(30.0, 31.0), scored(29.0)
    assert paired_gain(ours, theirs).differences == (1.0,)


def test_a_smaller_distance_is_a_win():
    gain = paired_gain(scored(0.1, column="lpips"), scored(0.3, column="lpips"), "lpips")
    assert gain.mean == pytest.approx(-0.2)
    assert (gain.wins, gain.losses) == (1, 0)


@pytest.mark.parametrize("field", ["task", "dataset", "protocol", "degradation"])
def test_what_does_not_compare_is_refused(field):
    with pytest.raises(ValueError, match=f"{field} .* 'other' differ"):
        paired_gain(scored(30.0), replace(scored(30.0), **{field: "other"}))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((3.0, "exact", 1.0, 2.0, 5.0), {"worst": 2, "median": 0, "best": 1}),
        ((3.0, 1.0, 2.0), {"worst": 1, "median": 2, "best": 0}),
        ((3.0, 1.0), {"worst": 1, "best": 0}),
        ((3.0,), {"worst": 0}),
    ],
)
def test_examples_are_the_worst_median_and_best(values, expected):
    chosen = dict(choose_examples(scored(*values)))
    assert chosen == {rank: f"image{index}" for rank, index in expected.items()}


def test_nothing_scored_is_nothing_to_show():
    with pytest.raises(ValueError, match="nothing to show"):
        choose_examples(scored())
