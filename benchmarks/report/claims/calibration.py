"""Whether the judge of trained networks keeps its promise, on records of trainings alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.quality.calibration import (
    Count,
    Spread,
    fit_spread,
    judge_pairs_by_images,
    judge_splits,
    simulate,
    trace_power,
)
from benchmarks.quality.seeds import MIN_SEEDS, Array
from benchmarks.records.cell import QualityCell
from benchmarks.records.result import QualityResult
from benchmarks.records.statistics import wilson_interval
from benchmarks.report.comparisons import stack_trainings
from benchmarks.report.judgment import Judgment, decide, judge_interval, judges, place_within
from benchmarks.report.series import Records, select

# The share of false verdicts that is allowed, and that of a planted difference to be found.
ALLOWED, WANTED = 0.01, 0.9
# The difference in dB that is planted.
PLANTED = 0.1
_PAIRS = 10_000


@judges("calibration")
def judge_calibration(records: Records) -> list[Judgment]:
    """Share of false verdicts and of found differences, simulated and on real trainings."""
    arms = stack_trainings(records)
    if not arms:
        return [Judgment("the judge is calibrated", "NOT MEASURED", "no two trainings alike")]
    spread, images = fit_spread(arms), min(arm.shape[1] for arm in arms)
    of = (
        f"spread of {len(arms)} arm{'' if len(arms) == 1 else 's'} of {len(arms[0])} seeds: "
        f"{spread.seed:.3f} dB by seed, {spread.interaction:.3f} dB more on a single image"
    )
    large = [arm for arm in arms if len(arm) >= 2 * MIN_SEEDS]
    judgments = [
        _judge_simulated(spread, images, of),
        _judge_planted(spread, images, of),
        *map(_judge_real, large),
    ]
    cells = tuple(select(records, QualityCell, QualityResult))
    return [replace(judgment, cells=cells) for judgment in judgments]


def _judge_simulated(spread: Spread, images: int, of: str) -> Judgment:
    generator = np.random.default_rng(0)
    count = simulate(spread, seeds=MIN_SEEDS, images=images, trials=_PAIRS, generator=generator)
    claim = f"between equal arms the judge finds a difference in at most {ALLOWED:.0%} of cases"
    evidence = f"{_describe(count)}, simulated: {MIN_SEEDS} seeds each, {images} images; {of}"
    lo, hi = wilson_interval(*count)
    return Judgment(claim, place_within(lo, hi, (0, ALLOWED)), evidence)


def _judge_planted(spread: Spread, images: int, of: str) -> Judgment:
    counts = trace_power(spread, images, PLANTED, WANTED)
    first, (seeds, last) = counts[MIN_SEEDS], list(counts.items())[-1]
    claim = f"{MIN_SEEDS} seeds each show a difference of {PLANTED:+g} dB in {WANTED:.0%} of cases"
    evidence = f"{_describe(first)}, simulated: {images} images; {of}"
    if last is not first:
        evidence += f"; {seeds} seeds each show it in {last.share:.0%}"
    return Judgment(claim, judge_interval(*wilson_interval(*first), WANTED), evidence)


def _judge_real(arm: Array) -> Judgment:
    count, single = judge_splits(arm), judge_pairs_by_images(arm)
    claim = f"between real trainings alike the judge finds one in at most {ALLOWED:.0%} of cases"
    evidence = (
        f"in {count.hits:,} of {count.trials:,} pairs of {MIN_SEEDS} seeds each, which share "
        f"{len(arm)} trainings, {count.share:.1%}; an interval over the images of one seed each, "
        f"which is not taken, finds one in {single.hits} of {single.trials}"
    )
    return Judgment(claim, decide(count.share <= ALLOWED), evidence)


def _describe(count: Count) -> str:
    lo, hi = wilson_interval(*count)
    return f"{count.hits:,} of {count.trials:,}, {count.share:.1%} [{lo:.1%}, {hi:.1%}]"
