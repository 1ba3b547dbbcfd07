"""C7 on equal terms: shapes beside their like, and parameters or times that are equal.

Whether they are is read from the records of the trainings and of paired times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from benchmarks.records.cell import NetworkCell, TrainingCell
from benchmarks.records.description import Description
from benchmarks.records.result import NetworkLatency, TrainingResult
from benchmarks.report.claims.training import Tested, judge_tests
from benchmarks.report.comparisons import (
    Arm,
    Comparison,
    compare_arms,
    config_of,
    is_small,
    keys_of,
)
from benchmarks.report.judgment import Judgment, judges
from benchmarks.report.series import Records, select
from benchmarks.training.recipes import load_recipe
from kgt.config import PRESETS, preset

# How far apart equal parameters and equal times may be.
_PARAMETERS, _TIME = 0.03, 0.10
_DENSE = "-dense"
_SHAPES = {"u": "U-shaped", "columnar": "columnar"}
# What may differ between the recipes of two families: their rate, and what only a graph has.
_OWN_FIELDS = {"lr", "k"}
_load = cache(load_recipe)


@judges("C7-fair")
def judge_fair(records: Records) -> list[Judgment]:
    """C7: KGT against SwinIR and against its dense twin, of one shape, on equal terms."""
    return judge_tests("C7 KGT beats SwinIR on equal terms", list_fair(records))


@judges("C7-random-k")
def judge_random_k(records: Records) -> list[Judgment]:
    """C7 of networks that were trained with random k, at each k in use."""
    return judge_tests("C7 KGT trained with random k beats SwinIR", list_random_k(records))


def list_random_k(records: Records) -> list[Tested]:
    """The comparisons of `list_fair` in which k was drawn anew in each step."""
    return [
        tested
        for tested in list_fair(records)
        if isinstance(_load(str(tested.found.ours.recipe)).k, tuple)
    ]


def list_fair(records: Records) -> list[Tested]:
    """The comparisons of KGT with its peers, on each of the terms that hold."""
    terms = _Terms.of(records)
    tested = []
    for found in compare_arms(records, _are_peers):
        scale = ", small-scale" if is_small(found.ours) else ""
        claim = f"C7 KGT, {_shape_of(found.ours)}, {_keys(found)}restores better than {{}} {{}}"
        peer = "its dense twin" if _is_dense_twin(found.theirs) else "SwinIR of the same shape"
        for on_terms, unlike in terms.compare(found):
            sentence = f"{claim.format(peer, on_terms)}{scale}: {found.where}"
            tested.append(Tested(sentence, found, 0.0, unlike))
    return tested


@dataclass(frozen=True)
class _Terms:
    """What is known of networks: parameters by model, times by model, k and baseline."""

    parameters: Mapping[str, float]
    ratios: Mapping[tuple[str, int | None, str], float]

    @classmethod
    def of(cls, records: Records) -> _Terms:
        parameters = {
            cell.model: result.parameters.value
            for cell, result in select(records, TrainingCell, TrainingResult).items()
        }
        ratios = {
            (cell.model, cell.k, str(cell.baseline)): result.ratio.value
            for cell, result in select(records, NetworkCell, NetworkLatency).items()
        }
        return cls(parameters, ratios)

    def compare(self, found: Comparison) -> list[tuple[str, str]]:
        """The terms on which two arms are equal, or those that are not, with the reason."""
        size = self._find_size(found)
        time = self._find_time(found)
        on_terms = [("at equal parameters", "")] * (
            size is not None and abs(size - 1) <= _PARAMETERS
        )
        on_terms += [("at equal time", "")] * (time is not None and abs(time - 1) <= _TIME)
        if on_terms:
            return on_terms
        reasons = [
            f"parameters x {size:.2f}" if size else "parameters not recorded",
            f"time x {time:.2f}" if time else "times not recorded",
        ]
        return [("on equal terms", f"not comparable: {', '.join(reasons)} of the peer")]

    def _find_size(self, found: Comparison) -> float | None:
        sizes = [self.parameters.get(arm.model) for arm in (found.ours, found.theirs)]
        return sizes[0] / sizes[1] if sizes[0] and sizes[1] else None

    def _find_time(self, found: Comparison) -> float | None:
        """Our time over theirs, both relative to one baseline, which may be one of them."""
        own, other = (found.ours.model, found.ours.k), (found.theirs.model, None)
        for baseline in {baseline: None for _, _, baseline in self.ratios}:
            ours, theirs = (self._find_ratio(network, baseline) for network in (own, other))
            if ours and theirs:
                return ours / theirs
        return None

    def _find_ratio(self, network: tuple[str, int | None], baseline: str) -> float | None:
        return 1.0 if network == (baseline, None) else self.ratios.get((*network, baseline))


def _are_peers(ours: Arm, theirs: Arm) -> bool:
    """Whether one is a KGT and the other of the same shape and task, trained alike."""
    if config_of(ours) is None or config_of(theirs) is not None:
        return False
    if not ours.recipe or not theirs.recipe or _shape_of(ours) != _shape_of(theirs):
        return False
    if _is_dense_twin(theirs) and _twin_of(theirs) != _without_k(ours):
        return False
    return _load(ours.recipe).find_differences(_load(theirs.recipe)) <= _OWN_FIELDS


def _shape_of(arm: Arm) -> str:
    """The shape, "U-shaped" or "columnar"; empty of a network that is neither KGT nor SwinIR."""
    described = arm.described
    network = described.network.removesuffix(_DENSE)
    if network in PRESETS:
        return _SHAPES[preset(network, **described.fields).shape]
    if described.family != "swinir":
        return ""
    return _SHAPES["u" if described.size == "u" else "columnar"]


def _is_dense_twin(arm: Arm) -> bool:
    return arm.described.network.endswith(_DENSE)


def _twin_of(arm: Arm) -> Description:
    """The KGT of which a network is the dense twin."""
    return arm.described._replace(name=arm.described.name.removesuffix(_DENSE))


def _without_k(arm: Arm) -> Description:
    described = arm.described
    return described._replace(given=tuple(field for field in described.given if field[0] != "k"))


def _keys(found: Comparison) -> str:
    return f"with {keys_of(found.ours)} keys " if found.ours.k else ""
