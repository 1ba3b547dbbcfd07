"""Two models on the same images: the mean of the paired differences, and who wins how often."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.measure.statistics import bootstrap_interval
from benchmarks.quality.evaluation import Evaluation

Scores = Mapping[str, Mapping[str, Any]]

_LOWER_IS_BETTER = frozenset({"lpips"})


@dataclass(frozen=True)
class Gain:
    """A model's score less that of another, image by image.

    Attributes:
        mean: Mean difference over the images, in the unit of the score.
        lo: Lower end of its 99 % bootstrap interval over the images.
        hi: Upper end.
        differences: The differences, in the order of the images.
        wins: Number of images on which the model is better.
        losses: Number of images on which it is worse.
    """

    mean: float
    lo: float
    hi: float
    differences: tuple[float, ...]
    wins: int
    losses: int


def paired_gain(evaluation: Evaluation, baseline: Evaluation, column: str = "psnr") -> Gain | None:
    """Compare two evaluations of one set, as `compare_scores` does.

    Args:
        evaluation: Of the model.
        baseline: Of what it is compared with.
        column: Score to compare.

    Returns:
        The gain; None where no image has a finite difference.

    Raises:
        ValueError: The two are of different tasks, sets, protocols or inputs.
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
    differences, signs = [], []
    for image, own in scores.items():
        other = others.get(image, {})
        if column not in own or column not in other:
            continue
        ours, theirs = (
            math.inf if value == "exact" else float(value) for value in (own[column], other[column])
        )
        better = -1 if column in _LOWER_IS_BETTER else 1
        signs.append(better * ((ours > theirs) - (ours < theirs)))
        if math.isfinite(ours) and math.isfinite(theirs):
            differences.append(ours - theirs)
    if not differences:
        return None
    lo, hi = bootstrap_interval(differences, np.mean)
    return Gain(
        mean=float(np.mean(differences)),
        lo=lo,
        hi=hi,
        differences=tuple(differences),
        wins=signs.count(1),
        losses=signs.count(-1),
    )
