import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from benchmarks.quality.calibration import (
    Spread,
    fit_spread,
    judge_pairs_by_images,
    judge_splits,
    simulate,
    trace_power,
)
from benchmarks.quality.seeds import compare_trainings, compare_uses, estimate

TRIALS = 4000
# At most so many of 4,000 happen by chance, in all but one of ten thousand cases, at 1 %.
MOST = stats.binom.ppf(1 - 1e-4, TRIALS, 0.01)


def draw(rng, *, seed, image=0.0, interaction=0.0, seeds=3, images=68, trials=()):
    """Normal scores [..., seeds, images]; `image` is the arm's own, not that of both."""
    one, other = (*trials, seeds, 1), (*trials, 1, images)
    scores = seed * rng.standard_normal(one) + image * rng.standard_normal(other)
    return scores + interaction * rng.standard_normal((*trials, seeds, images))


def scored(arm):
    """An arm [seeds, images] as scores by image and column, by seed; None is no score."""
    return {
        seed: {f"image{i}": {} if value is None else {"psnr": value} for i, value in enumerate(row)}
        for seed, row in enumerate(arm, start=1)
    }


@pytest.mark.parametrize("seeds", [(3, 3), (3, 5)])
def test_interval_is_made_of_those_of_seeds_and_of_images(seeds):
    rng = np.random.default_rng(0)
    ours, theirs = (
        30 + draw(rng, seed=0.1, image=1.0, interaction=0.2, seeds=count, images=20)
        for count in seeds
    )
    gain = compare_trainings(scored(ours), scored(theirs))
    # scipy's Welch test of the means of seeds, and its paired test of the means of images.
    by_seed = stats.ttest_ind(ours.mean(axis=1), theirs.mean(axis=1), equal_var=False)
    by_image = stats.ttest_rel(ours.mean(axis=0), theirs.mean(axis=0))
    ends = [test.confidence_interval(0.99) for test in (by_seed, by_image)]
    reach = math.hypot(*((end.high - end.low) / 2 for end in ends))
    assert gain.mean == pytest.approx(ours.mean() - theirs.mean())
    assert (gain.lo, gain.hi) == pytest.approx((gain.mean - reach, gain.mean + reach))
    assert (gain.seeds, gain.images) == (seeds, 20)


def test_two_uses_of_the_same_trainings_are_one_sample_of_seeds():
    rng = np.random.default_rng(1)
    uses = draw(rng, seed=1.0, seeds=4, images=20) + draw(
        rng, seed=0.01, interaction=0.1, seeds=4, images=20, trials=(2,)
    )
    gain = compare_uses(*map(scored, uses))
    difference = uses[0] - uses[1]
    ends = [
        stats.ttest_1samp(difference.mean(axis=axis), 0).confidence_interval(0.99)
        for axis in (0, 1)
    ]
    reach = math.hypot(*((end.high - end.low) / 2 for end in ends))
    assert (gain.lo, gain.hi) == pytest.approx((gain.mean - reach, gain.mean + reach))
    assert gain.seeds == (4,)
    apart = compare_trainings(*map(scored, uses))
    assert apart.hi - apart.lo > 10 * (gain.hi - gain.lo)


def test_only_seeds_of_both_uses_are_compared():
    ours, theirs = scored([[30.0, 31.0]] * 4), scored([[29.0, 29.0]] * 3)
    assert compare_uses(ours, theirs).seeds == (3,)
    assert compare_uses(ours, {9: theirs[1]}) is None


def test_shares_are_those_of_the_variances_that_were_drawn():
    rng = np.random.default_rng(2)
    spread = {"seed": 0.2, "image": 0.5, "interaction": 2.0}
    arms = [draw(rng, **spread, seeds=400, images=500) for _ in range(2)]
    seeds, images, interaction = 2 * 0.2**2 / 400, 2 * 0.5**2 / 500, 2 * 2.0**2 / (400 * 500)
    total = seeds + images + interaction
    shares = compare_trainings(*map(scored, arms)).shares
    # The variance of n - 1 squares is off by sqrt(2 / n), so a share by less than a tenth.
    assert shares["seeds"] == pytest.approx(seeds / total, rel=0.1)
    assert shares["images"] == pytest.approx(images / total, rel=0.1)
    assert shares["interaction"] == pytest.approx(interaction / total, rel=0.1)
    assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("images", [18, 68])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"seed": 0.03, "interaction": 0.05}, {"seed": 0.03, "interaction": 0.05}),
        ({"seed": 0.05}, {"seed": 0.05}),
        ({"seed": 0.0, "interaction": 0.05}, {"seed": 0.0, "interaction": 0.05}),
        ({"seed": 0.0, "image": 0.1}, {"seed": 0.0, "image": 0.1}),
        ({"seed": 0.3, "image": 0.5}, {"seed": 0.01}),
    ],
)
def test_three_seeds_of_equal_arms_are_found_different_in_one_percent(ours, theirs, images):
    rng = np.random.default_rng(3)
    arms = [draw(rng, **own, images=images, trials=(TRIALS,)) for own in (ours, theirs)]
    found = estimate(arms)
    assert (np.abs(found.mean) > found.reach).sum() <= MOST


def test_the_judge_is_calibrated_where_satterthwaite_is_not():
    rng = np.random.default_rng(4)
    ours = draw(rng, seed=0.3, image=0.5, trials=(TRIALS,))
    theirs = draw(rng, seed=0.01, trials=(TRIALS,))
    parts = [
        ours.mean(axis=2).var(axis=1, ddof=1) / 3,
        theirs.mean(axis=2).var(axis=1, ddof=1) / 3,
        (ours.mean(axis=1) - theirs.mean(axis=1)).var(axis=1, ddof=1) / 68,
    ]
    total = sum(parts)
    freedom = total**2 / sum(p**2 / f for p, f in zip(parts, (2, 2, 67), strict=True))
    reach = stats.t.ppf(0.995, freedom) * np.sqrt(total)
    mean = ours.mean(axis=(1, 2)) - theirs.mean(axis=(1, 2))
    assert (np.abs(mean) > reach).sum() > stats.binom.ppf(1 - 1e-4, TRIALS, 0.02)
    assert (np.abs(mean) > estimate([ours, theirs]).reach).sum() <= MOST


@pytest.mark.parametrize("images", [17, 18])
@pytest.mark.parametrize("seeds", [(1, 1), (2, 2), (3, 1), (3, 3)])
def test_what_lacks_seeds_or_images_is_shown_and_says_so(seeds, images):
    rng = np.random.default_rng(5)
    arms = [scored(draw(rng, seed=1.0, seeds=count, images=images)) for count in seeds]
    gain = compare_trainings(*arms)
    assert math.isfinite(gain.mean)
    enough = min(seeds) >= 3
    assert (gain.lo is not None) == enough == bool(gain.shares)
    wanted = ([] if enough else ["3 seeds"]) + (["18 images"] if images < 18 else [])
    assert gain.lacks == (" and ".join(wanted) + " are needed" if wanted else "")


def test_evidence_names_seeds_images_and_where_the_doubt_comes_from():
    ours = scored([[30.0, 31.0], [30.1, 31.1], [30.2, 31.2]])
    theirs = scored([[29.0, 30.0]])
    assert compare_trainings(theirs, theirs).describe() == "+0.000 dB, 1 seed each, 2 images"
    assert compare_trainings(ours, theirs).describe() == "+1.100 dB, 3 and 1 seeds, 2 images"
    assert compare_uses(ours, ours).describe() == "+0.000 dB [+0.000, +0.000], 3 seeds, 2 images"
    text = compare_trainings(ours, scored([[29.0, 30.0]] * 3)).describe()
    # Seed means spread by 0.1, so by 0.1 / sqrt(3); 2 degrees of freedom have t = 9.925.
    assert text == (
        "+1.100 dB [+0.527, +1.673], 3 seeds each, 2 images, 100% of the uncertainty from seeds"
    )


def test_equal_scores_leave_no_doubt_and_decide_nothing():
    arm = scored([[30.0, 31.0, 33.0]] * 3)
    gain = compare_trainings(arm, arm)
    assert (gain.mean, gain.lo, gain.hi, gain.shares) == (0.0, 0.0, 0.0, {})


def test_only_images_with_a_finite_score_in_every_training_count():
    ours = scored([[30.0, "exact", 31.0, 35.0, 1.0], [30.0, 99.0, 31.0, None, 1.0]])
    theirs = scored([[29.0, 30.0, 29.0, 30.0, math.inf], [29.0, 30.0, 29.0, 30.0, 1.0]])
    gain = compare_trainings(ours, theirs)
    assert (gain.images, gain.mean) == (2, 1.5)
    exact = scored([["exact", "exact"]])
    assert compare_trainings(exact, theirs) is None
    assert compare_trainings({}, theirs) is None


def test_spread_is_found_again():
    rng = np.random.default_rng(6)
    arms = [draw(rng, seed=0.2, image=2.0, interaction=0.3, seeds=20, images=60) for _ in range(40)]
    # 760 squares of seeds are off by sqrt(1 / 1520) of their root: 3 % are more than one in 1,000.
    assert fit_spread(arms) == pytest.approx((0.2, 2.0, 0.3), rel=0.1)
    flat = [np.zeros((2, 5))]
    assert fit_spread(flat) == (0.0, 0.0, 0.0)


def test_a_planted_difference_is_found_the_sooner_the_less_seeds_spread():
    rng = np.random.default_rng(7)
    cells = {"seeds": 3, "images": 68, "generator": rng}
    calm, wide = (
        simulate(Spread(seed, 2.0, 0.05), trials=500, planted=0.1, **cells)
        for seed in (0.005, 0.05)
    )
    assert calm.share > 0.99
    assert wide.share < 0.2
    nothing = simulate(Spread(0.05, 2.0, 0.05), trials=TRIALS, **cells)
    assert nothing.hits <= MOST
    counts = trace_power(Spread(0.03, 2.0, 0.05), 68, 0.1, 0.9)
    *short, last = [count.share for count in counts.values()]
    assert next(iter(counts)) == 3
    assert max(short) < 0.9 <= last
    # Whatever its quantile, a test of S seeds needs 1.282 + 2.576 standard errors for 90 %.
    assert max(counts) >= (3.858 * 0.03 / 0.1) ** 2 * 2


def test_every_split_is_judged_once():
    rng = np.random.default_rng(8)
    arm = draw(rng, seed=0.1, interaction=0.1, seeds=7, images=20)
    arm[:3] += 5.0
    pairs = {
        frozenset((one, other))
        for one in combinations(range(7), 3)
        for other in combinations(range(7), 3)
        if not set(one) & set(other)
    }
    hits = 0
    for one, other in (tuple(pair) for pair in pairs):
        gain = compare_trainings(scored(arm[list(one)]), scored(arm[list(other)]))
        hits += gain.lo > 0 or gain.hi < 0
    assert judge_splits(arm) == (hits, len(pairs))
    assert hits > 0
    by_images = [stats.ttest_rel(one, other).pvalue < 0.01 for one, other in combinations(arm, 2)]
    assert judge_pairs_by_images(arm) == (sum(by_images), 21)
    assert 0 < sum(by_images) < 21


def test_the_interval_over_images_alone_is_that_of_the_means_over_seeds():
    rng = np.random.default_rng(5)
    ours, theirs = rng.normal(30, 1, (2, 2, 25))
    gain = compare_trainings(
        *(
            {seed: {str(i): {"psnr": x} for i, x in enumerate(row)} for seed, row in enumerate(arm)}
            for arm in (ours, theirs)
        )
    )
    differences = ours.mean(axis=0) - theirs.mean(axis=0)
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.99)
    assert gain.lo is None
    assert gain.over_images == pytest.approx((interval.low, interval.high))
