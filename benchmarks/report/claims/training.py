"""Claims on what the method's choices do to quality, judged on networks that were trained here.

All are judged image by image: the difference of two networks on the same images, its mean with a
99 % interval over the images, for every seed alone. A verdict needs all seeds; of the weights that
ship there is one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import astuple
from typing import NamedTuple

from benchmarks.quality.comparison import Gain, compare_scores
from benchmarks.records.cell import QualityCell
from benchmarks.records.result import QualityResult
from benchmarks.report.judgment import Judgment, VerdictLabel, judge_interval, judges
from benchmarks.report.series import Records, select
from benchmarks.tasks import get_task

# What "no loss", "nearly flat", "little" and a "drop" are taken to mean, in dB.
_LITTLE = 0.1
_ONE_FOR_ALL = "study-denoise"
_RANDOM_K, _FIXED_K = "study-denoise-k-random", "study-denoise-k-fixed"

# The cell that a cell is compared with, None for what is compared with none.
_Twin = Callable[[QualityCell], QualityCell | None]


class _Difference(NamedTuple):
    """How much better one network restores a set than another: by task and set, and by seed.

    Weights that ship have no seed.
    """

    where: str
    seed: int | None
    gain: Gain

    def __str__(self) -> str:
        images = len(self.gain.differences)
        seed = "" if self.seed is None else f", seed {self.seed}"
        return f"{self.where}{seed}: {self.gain.describe(3, ' dB')}, {images} images"


@judges("C3")
def judge_shared_graph(records: Records) -> list[Judgment]:
    """C3: a graph per stage against one that is built anew in every layer."""

    def twin(cell: QualityCell) -> QualityCell | None:
        if cell.described.rebuilds_graphs:
            return None
        return _change(cell, model=str(cell.described.rebuilt_graphs()))

    claim = "C3 sharing the graph over a stage loses no quality against one per layer"
    return [_judge(claim, _compare(records, twin), at_least=-_LITTLE)]


@judges("C4")
def judge_random_k(records: Records) -> list[Judgment]:
    """C4: k drawn anew in each step against every token as a key, over several k of inference."""
    keys = sorted({cell.k for cell in _measured(records) if cell.recipe == _RANDOM_K and cell.k})
    if not keys:
        return [Judgment("C4 random k in training", "NOT MEASURED", "no network was trained so")]
    few, many = keys[0], keys[-1]

    def against_fixed(cell: QualityCell) -> QualityCell | None:
        fits = cell.recipe == _RANDOM_K and cell.k == few
        return _change(cell, recipe=_FIXED_K) if fits else None

    def few_against_many(recipe: str) -> _Twin:
        def pair(cell: QualityCell) -> QualityCell | None:
            return _change(cell, k=many) if (cell.recipe, cell.k) == (recipe, few) else None

        return pair

    trained = "C4 trained with random k, a network"
    better = f"{trained} restores better at k = {few} than trained with every key"
    as_good = f"{trained} at k = {few} is nearly as good as at k = {many}"
    drops = f"C4 trained with every key, a network at k = {few} drops from k = {many}"
    losses = [_negate(d) for d in _compare(records, few_against_many(_FIXED_K))]
    return [
        _judge(better, _compare(records, against_fixed), at_least=0.0),
        _judge(as_good, _compare(records, few_against_many(_RANDOM_K)), at_least=-_LITTLE),
        _judge(drops, losses, at_least=_LITTLE),
    ]


@judges("C6-small")
def judge_one_network_for_levels(records: Records) -> list[Judgment]:
    """C6: one network for three levels of noise against one per level, by level."""

    def twin(cell: QualityCell) -> QualityCell | None:
        level = get_task(cell.task).variant
        fits = cell.recipe == _ONE_FOR_ALL and not cell.described.rebuilds_graphs
        return _change(cell, recipe=f"{_ONE_FOR_ALL}-{level}") if fits else None

    claim = "C6 one model for many degradation levels loses little"
    return [_judge(claim, _compare(records, twin), at_least=-_LITTLE)]


@judges("C7-small")
def judge_small_kgt_against_swinir(records: Records) -> list[Judgment]:
    """C7: small networks of equal size, task by task, and of all tasks together."""

    def twin(cell: QualityCell) -> QualityCell | None:
        own = cell.described
        fits = (own.family, own.size) == ("kgt", "tiny")
        return _change(cell, model=str(own.of_family("swinir"))) if fits else None

    claim = "C7 KGT beats SwinIR at the same parameters, small-scale"
    by_task: dict[str, list[_Difference]] = defaultdict(list)
    for difference in _compare(records, twin):
        by_task[difference.where].append(difference)
    judgments = [_judge(f"{claim}: {where}", found, 0.0) for where, found in by_task.items()]
    together = [difference for found in by_task.values() for difference in found]
    return [*judgments, _judge(f"{claim}: on every task and level here", together, 0.0)]


def _judge(claim: str, differences: Iterable[_Difference], at_least: float) -> Judgment:
    """HOLDS where all intervals lie above a limit, FAILS where one lies below it."""
    found = list(differences)
    if not found:
        return Judgment(claim, "NOT MEASURED", "no pair of trained networks")
    placed = {judge_interval(d.gain.lo, d.gain.hi, at_least) for d in found}
    verdict: VerdictLabel = "FAILS" if "FAILS" in placed else "UNCLEAR"
    if placed == {"HOLDS"}:
        verdict = "HOLDS"
    limit = f"limit {at_least:+g} dB; " if at_least else ""
    return Judgment(claim, verdict, limit + "; ".join(map(str, found)))


def _compare(records: Records, twin: _Twin) -> list[_Difference]:
    """Differences of all networks from their twins, where both were measured."""
    measured = _measured(records)
    differences = []
    for cell, result in measured.items():
        other = twin(cell)
        if other is None or other not in measured:
            continue
        if gain := compare_scores(result.per_image, measured[other].per_image):
            k = "" if cell.k is None or cell.k != other.k else f", k = {cell.k}"
            seed = cell.seed if cell.recipe else None
            differences.append(_Difference(f"{cell.task} on {cell.dataset}{k}", seed, gain))
    return differences


def _measured(records: Records) -> dict[QualityCell, QualityResult]:
    return select(records, QualityCell, QualityResult)


def _change(cell: QualityCell, **fields: object) -> QualityCell:
    return cell.model_copy(update=fields)


def _negate(difference: _Difference) -> _Difference:
    mean, lo, hi, differences, wins, losses = astuple(difference.gain)
    lo, hi = (None if end is None else -end for end in (hi, lo))
    turned = Gain(-mean, lo, hi, tuple(-value for value in differences), losses, wins)
    return difference._replace(gain=turned)
