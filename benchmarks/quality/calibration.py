"""How often `benchmarks.quality.seeds` errs: simulated, and on real trainings all alike."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

from benchmarks.quality.comparison import mean_interval
from benchmarks.quality.seeds import MIN_SEEDS, Array, estimate, find_interaction

# The most seeds with which a difference is looked for.
MOST_SEEDS = 30


class Spread(NamedTuple):
    """Standard deviations of PSNR in dB.

    Attributes:
        seed: of the means over images of trainings that differ in their seed alone.
        image: of the means over trainings of single images.
        interaction: of what a seed does to a single image beyond these two.
    """

    seed: float
    image: float
    interaction: float


class Count(NamedTuple):
    """How often something happened, of so many times."""

    hits: int
    trials: int

    @property
    def share(self) -> float:
        """Their ratio."""
        return self.hits / self.trials


def fit_spread(arms: Sequence[Array]) -> Spread:
    """The spread that arms have in common, from the mean squares of all of them.

    Args:
        arms: scores of trainings that differ in their seed alone, each [seeds, images] with two or
            more of either.
    """
    freedom = np.array([len(arm) - 1 for arm in arms])
    interaction = [float(find_interaction(arm)) for arm in arms]
    seed = [
        float(arm.mean(axis=1).var(ddof=1)) - rest / arm.shape[1]
        for arm, rest in zip(arms, interaction, strict=True)
    ]
    image = [
        float(arm.mean(axis=0).var(ddof=1)) - rest / len(arm)
        for arm, rest in zip(arms, interaction, strict=True)
    ]
    variances = [max(0.0, np.average(part, weights=freedom)) for part in (seed, image, interaction)]
    return Spread(*map(float, np.sqrt(variances)))


def simulate(
    spread: Spread,
    *,
    seeds: int,
    images: int,
    trials: int,
    planted: float = 0.0,
    generator: np.random.Generator,
) -> Count:
    """How often the judge finds that one arm is better than another, of normal scores.

    Args:
        spread: of both arms; the images are the same in both.
        seeds: trainings of each arm.
        images: how many both restore.
        trials: how many pairs of arms to draw.
        planted: by how many dB the first is better. Where it is 0, a difference in either direction
            counts, and each is false.
        generator: what to draw from.
    """
    image = spread.image * generator.standard_normal((trials, 1, images))
    ours, theirs = (
        image
        + spread.seed * generator.standard_normal((trials, seeds, 1))
        + spread.interaction * generator.standard_normal((trials, seeds, images))
        for _ in range(2)
    )
    found = estimate([ours + planted, theirs])
    size = found.mean if planted else np.abs(found.mean)
    return Count(int((size > found.reach).sum()), trials)


def judge_splits(arm: Array, seeds: int = MIN_SEEDS) -> Count:
    """How often the judge finds a difference between trainings that are all alike.

    Args:
        arm: scores [trainings, images] of one recipe, of at least two times `seeds` trainings.
        seeds: trainings of each half; every two disjoint halves are compared, once.
    """
    ours, theirs = np.array(
        [
            (one, other)
            for one in combinations(range(len(arm)), seeds)
            for other in combinations(range(one[0] + 1, len(arm)), seeds)
            if not set(one) & set(other)
        ]
    ).transpose(1, 0, 2)
    found = estimate([arm[ours], arm[theirs]])
    return Count(int((np.abs(found.mean) > found.reach).sum()), len(ours))


def judge_pairs_by_images(arm: Array) -> Count:
    """How often an interval over images alone finds a difference between two such trainings."""
    pairs = list(combinations(arm, 2))
    intervals = [mean_interval(one - other) for one, other in pairs]
    return Count(sum(lo > 0 or hi < 0 for lo, hi in intervals), len(pairs))


@cache
def trace_power(spread: Spread, images: int, planted: float, enough: float) -> dict[int, Count]:
    """How often a difference is found, by seeds: from 3 on to what finds it often enough.

    Args:
        spread: of both arms.
        images: how many both restore.
        planted: the difference in dB.
        enough: share at which to stop, or at `MOST_SEEDS`.
    """
    generator, counts = np.random.default_rng(0), dict[int, Count]()
    for seeds in range(MIN_SEEDS, MOST_SEEDS + 1):
        counts[seeds] = simulate(
            spread, seeds=seeds, images=images, trials=1000, planted=planted, generator=generator
        )
        if counts[seeds].share >= enough:
            break
    return counts
