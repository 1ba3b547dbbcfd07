"""Two trained networks on the same images: their difference over seeds and images together.

Another seed gives other weights, so the images of one pair of trainings cannot say which of two
recipes is better. Here seeds and images are both samples: of all trainings, and of all images.

What the interval is made of. The difference of two arms, each seeds x images, is off by the spread
of seeds in either arm and by that of images. Both variances are read from means: over the images of
a seed, over the seeds of an image. Their sum counts what a seed does to single images twice, as in
minF' of Clark (1973, The language-as-fixed-effect fallacy), which errs on the side of caution.
The degrees of freedom of the seeds are Welch's (1947), since one recipe may spread far more than
another. Seeds and images are put together as Banerjee (1960, Sankhya 22, 357-358) does for
variances of unequal degrees of freedom: the squares of their reaches add, each by its own quantile
of Student's t, and the interval misses at most as often as promised.

What was not taken. Satterthwaite's degrees of freedom for the whole sum are the textbook's choice:
where images add to the seeds of one wide and one narrow arm, its 99 % intervals of three seeds miss
more than 2 % of normal samples (the tests have an example). A bootstrap of three seeds draws from
three values: wherever all of one arm lie above all of the other, or below, which happens to equal
arms in one of ten pairs, it finds a difference.

Seeds are not paired. Trainings with one seed see the same patches, and start alike where their
shapes agree, and that is all. By how much it joins their scores is unknown before, a pairing of
three seeds has 2 degrees of freedom instead of 4 (quantiles of 9.92 and 4.60), so it pays above a
correlation of 0.79 only, and without it the interval is at worst too wide. The same trainings, used
in two ways, are another matter: they are one sample of seeds, see `compare_uses`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.quality.comparison import Scores, mean_interval
from benchmarks.records.statistics import CONFIDENCE

MIN_SEEDS = 3
MIN_IMAGES = 18

Array = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """Means with the reach of their intervals and what the variance of each consists of.

    All have the leading shape of the scores. `seeds`, `images` and `interaction` are variances of
    the mean in the square of the scores' unit: by the seeds, by the images, and by what seeds do
    to single images.
    """

    mean: Array
    reach: Array
    seeds: Array
    images: Array
    interaction: Array


@dataclass(frozen=True)
class SeededGain:
    """A trained network's score less that of another.

    Attributes:
        mean: mean difference, in the unit of the score.
        lo, hi: ends of its 99 % interval over seeds and images; None where there are fewer than
            `MIN_SEEDS` seeds or two images.
        over_images: ends of the 99 % interval over the images alone, which holds for these very
            trainings and not for their recipes; None of one image.
        seeds: trainings of either arm, or of both where one sample is used in two ways.
        images: how many all trainings restored, none of them exactly.
        shares: of the variance of the mean, from "seeds", "images" and their "interaction"; empty
            where there is no interval, or no variance.
    """

    mean: float
    lo: float | None
    hi: float | None
    over_images: tuple[float, float] | None
    seeds: tuple[int, ...]
    images: int
    shares: Mapping[str, float]

    @property
    def lacks(self) -> str:
        """What a verdict would need, empty where nothing is missing."""
        wanted = [f"{MIN_SEEDS} seeds"] if min(self.seeds) < MIN_SEEDS else []
        wanted += [f"{MIN_IMAGES} images"] if self.images < MIN_IMAGES else []
        return f"{' and '.join(wanted)} are needed" if wanted else ""

    def describe(self) -> str:
        """Mean in dB with its interval, what it is over, and where the doubt comes from."""
        text = f"{self.mean:+.3f} dB"
        if self.lo is not None:
            text += f" [{self.lo:+.3f}, {self.hi:+.3f}]"
        text += f", {_count_seeds(self.seeds)}, {_count(self.images, 'image')}"
        if self.shares:
            text += f", {self.shares['seeds']:.0%} of the uncertainty from seeds"
        return text


def compare_trainings(
    ours: Mapping[int, Scores], theirs: Mapping[int, Scores], column: str = "psnr"
) -> SeededGain | None:
    """Compare two arms of trainings, which are independent whatever their seeds are.

    Args:
        ours: scores by image and column, by seed.
        theirs: those of the other arm.
        column: score to compare.

    Returns:
        The gain of the first; None where no image has a finite score in all trainings.
    """
    arms = _gather([ours, theirs], column)
    return None if arms is None else describe_arms(arms)


def compare_uses(
    ours: Mapping[int, Scores], theirs: Mapping[int, Scores], column: str = "psnr"
) -> SeededGain | None:
    """Compare two uses of the same trainings, of which each is its own pair.

    Args:
        ours: as in `compare_trainings`; seeds that the other use lacks are left out.
        theirs: those of the other use.
        column: score to compare.

    Returns:
        As `compare_trainings`; None also where the two share no seed.
    """
    common = [seed for seed in ours if seed in theirs]
    arms = _gather([{seed: uses[seed] for seed in common} for uses in (ours, theirs)], column)
    return None if arms is None else describe_arms([arms[0] - arms[1]])


def estimate(arms: Sequence[Array]) -> Estimate:
    """The mean of one arm, or of one less another, with its 99 % interval.

    Args:
        arms: one or two of [..., seeds, images], with at least two seeds and two images; the
            images are the same in both.
    """
    from scipy import stats  # takes a second to import

    quantile, count = (1 + CONFIDENCE) / 2, arms[0].shape[-1]
    by_image = _subtract([arm.mean(axis=-2) for arm in arms])
    images = by_image.var(axis=-1, ddof=1) / count
    parts = [arm.mean(axis=-1).var(axis=-1, ddof=1) / arm.shape[-2] for arm in arms]
    seeds = np.sum(parts, axis=0)
    doubt = np.sum([p**2 / (a.shape[-2] - 1) for p, a in zip(parts, arms, strict=True)], axis=0)
    freedom = np.divide(seeds**2, doubt, out=np.ones_like(seeds), where=doubt > 0)
    reach = np.hypot(
        stats.t.ppf(quantile, freedom) * np.sqrt(seeds),
        stats.t.ppf(quantile, count - 1) * np.sqrt(images),
    )
    interaction = np.sum([find_interaction(arm) / (arm.shape[-2] * count) for arm in arms], axis=0)
    return Estimate(
        by_image.mean(axis=-1),
        reach,
        np.maximum(seeds - interaction, 0),
        np.maximum(images - interaction, 0),
        interaction,
    )


def find_interaction(arm: Array) -> Array:
    """Variance of what a seed does to a single image, [...] of [..., seeds, images].

    It is the mean square of what the means of seeds and of images leave (Cornfield and Tukey 1956).
    """
    rest = arm - arm.mean(axis=-1, keepdims=True) - arm.mean(axis=-2, keepdims=True)
    rest = rest + arm.mean(axis=(-2, -1), keepdims=True)
    freedom = (arm.shape[-2] - 1) * (arm.shape[-1] - 1)
    return np.asarray((rest**2).sum(axis=(-2, -1)) / freedom)


def stack_scores(trainings: Sequence[Scores], column: str = "psnr") -> Array:
    """Scores [trainings, images] of the images that all restored, none of them exactly."""
    found = [
        {image: own[column] for image, own in scores.items() if _is_number(own.get(column))}
        for scores in trainings
    ]
    common = [image for image in found[0] if all(image in scores for scores in found)]
    return np.array([[float(scores[image]) for image in common] for scores in found])


def _is_number(value: object) -> bool:
    """Whether it is a score, neither "exact" nor infinite nor lacking."""
    return isinstance(value, (int, float)) and math.isfinite(value)


def _gather(arms: Sequence[Mapping[int, Scores]], column: str) -> list[Array] | None:
    """Scores of each arm as [seeds, images], on the images of all; None where there are none."""
    counts = [len(arm) for arm in arms]
    if not all(counts):
        return None
    scores = stack_scores([own for arm in arms for own in arm.values()], column)
    return np.split(scores, np.cumsum(counts)[:-1]) if scores.shape[-1] else None


def describe_arms(arms: list[Array]) -> SeededGain:
    """The mean of one arm, or of one less another, with as much of an interval as there can be.

    Args:
        arms: one or two of [seeds, images]; the images are the same in both.
    """
    seeds, images = tuple(len(arm) for arm in arms), arms[0].shape[-1]
    by_image = _subtract([arm.mean(axis=0) for arm in arms])
    mean, over_images = (
        float(by_image.mean()),
        mean_interval(list(by_image)) if images > 1 else None,
    )
    if min(seeds) < MIN_SEEDS or images < 2:
        return SeededGain(mean, None, None, over_images, seeds, images, {})
    found = estimate(arms)
    reach = float(found.reach)
    parts = {name: float(getattr(found, name)) for name in ("seeds", "images", "interaction")}
    total = sum(parts.values())
    shares = {name: part / total for name, part in parts.items()} if total > 0 else {}
    return SeededGain(mean, mean - reach, mean + reach, over_images, seeds, images, shares)


def _subtract(means: Sequence[Array]) -> Array:
    first, *others = means
    return first - others[0] if others else first


def _count_seeds(seeds: tuple[int, ...]) -> str:
    if len(set(seeds)) > 1:
        return " and ".join(map(str, seeds)) + " seeds"
    return _count(seeds[0], "seed") + (" each" if len(seeds) > 1 else "")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
