"""Two models on the same images: the mean of the paired differences, and who wins how often."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.quality.evaluation import Evaluation
from benchmarks.records.statistics import CONFIDENCE
from benchmarks.tasks import get_metric

Scores = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Gain:
    """A model's score less that of another, image by image.

    Attributes:
        mean: mean difference over the images, in the unit of the score.
        lo: lower end of its 99 % interval over the images, see `mean_interval`; None of one image.
        hi: upper end.
        differences: the differences, in the order of the images.
        wins: number of images on which the model is better.
        losses: number of images on which it is worse.
    """

    mean: float
    lo: float | None
    hi: float | None
    differences: tuple[float, ...]
    wins: int
    losses: int

    def describe(self, digits: int, unit: str = "") -> str:
        """Mean with its unit and interval, with so many decimals."""
        mean = f"{self.mean:+.{digits}f}{unit}"
        if self.lo is None:
            return f"{mean} [one image has no interval]"
        return f"{mean} [{self.lo:+.{digits}f}, {self.hi:+.{digits}f}]"


def mean_interval(values: Sequence[float], level: float = CONFIDENCE) -> tuple[float, float]:
    """Student's t interval of a mean.

    It holds the mean of normal values with probability `level` however few they are, that of skewed
    ones a little more rarely. A percentile bootstrap of five values at 99 %, for comparison, misses
    the mean in a tenth of all cases.

    Args:
        values: at least two.
        level: confidence level in (0, 1).

    Returns:
        Lower and upper end, in the unit of `values`.

    Raises:
        ValueError: there are fewer than two values, which say nothing about their spread.
    """
    if len(values) < 2:
        raise ValueError(f"an interval of a mean takes 2 values or more, got {len(values)}")
    from scipy import stats  # takes a second to import

    mean, error = np.mean(values), np.std(values, ddof=1) / math.sqrt(len(values))
    reach = stats.t.ppf((1 + level) / 2, len(values) - 1) * error
    return float(mean - reach), float(mean + reach)


def paired_gain(evaluation: Evaluation, baseline: Evaluation, column: str = "psnr") -> Gain | None:
    """Compare two evaluations of one set, as `compare_scores` does.

    Args:
        evaluation: of the model.
        baseline: of what it is compared with.
        column: score to compare.

    Returns:
        The gain; None where no image has a finite difference.

    Raises:
        ValueError: the two are of different tasks, sets, protocols or inputs.
    """
    for field in ("task", "dataset", "protocol", "degradation"):
        ours, theirs = getattr(evaluation, field), getattr(baseline, field)
        if ours != theirs:
            raise ValueError(f"{field} {ours!r} and {theirs!r} differ; evaluate both under one")
    return compare_scores(evaluation.per_image, baseline.per_image, column)


def compare_scores(scores: Scores, others: Scores, column: str = "psnr") -> Gain | None:
    """Compare scores by image and column on the images that have both.

    An image that one side restores exactly has no finite difference: it counts as a win or a loss,
    and is left out of the mean.

    Returns:
        The gain of the first; None where no image has a finite difference.
    """
    sign = 1 if get_metric(column).better == "higher" else -1
    differences, signs = [], []
    for image, own in scores.items():
        other = others.get(image, {})
        if column not in own or column not in other:
            continue
        ours, theirs = (
            math.inf if value == "exact" else float(value) for value in (own[column], other[column])
        )
        signs.append(sign * ((ours > theirs) - (ours < theirs)))
        if math.isfinite(ours) and math.isfinite(theirs):
            differences.append(ours - theirs)
    if not differences:
        return None
    lo, hi = mean_interval(differences) if len(differences) > 1 else (None, None)
    return Gain(
        mean=float(np.mean(differences)),
        lo=lo,
        hi=hi,
        differences=tuple(differences),
        wins=signs.count(1),
        losses=signs.count(-1),
    )
