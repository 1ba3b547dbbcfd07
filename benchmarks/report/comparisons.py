"""Trained networks compared on the same images: what claims judge and plots draw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from benchmarks.quality.comparison import Scores
from benchmarks.quality.seeds import (
    MIN_IMAGES,
    Array,
    SeededGain,
    compare_trainings,
    compare_uses,
    stack_scores,
)
from benchmarks.records.cell import QualityCell
from benchmarks.records.description import Description
from benchmarks.records.result import QualityResult
from benchmarks.report.series import Records, select
from kgt.config import PRESETS, KGTConfig, preset

# A network with its recipe, k, task, set and protocol: a cell without its seed.
Arm = QualityCell
# The result of each training of an arm, by seed. Weights that ship are one, of seed 0.
Arms = Mapping[Arm, Mapping[int, QualityResult]]


@dataclass(frozen=True)
class Comparison:
    """Two arms on one set.

    Attributes:
        ours, theirs: the arms.
        names: of ours and theirs, with recipe and k.
        gain: of ours over theirs, with the interval over seeds and images, where there is one.
        where: task and set, and how much of it there is where images are missing.
        cells: of all trainings of both.
    """

    ours: Arm
    theirs: Arm
    names: tuple[str, str]
    gain: SeededGain
    where: str
    cells: tuple[QualityCell, ...]

    def __str__(self) -> str:
        return f"{' less '.join(self.names)}: {self.gain.describe()}"


def list_arms(records: Records) -> Arms:
    """The measured trainings, by arm, in the order of the records."""
    arms: dict[Arm, dict[int, QualityResult]] = defaultdict(dict)
    for cell, result in select(records, QualityCell, QualityResult).items():
        seed = cell.seed if cell.recipe else 0
        arms[cell.model_copy(update={"seed": 0})][seed] = result
    return arms


def compare_arms(records: Records, fits: Callable[[Arm, Arm], bool]) -> list[Comparison]:
    """All pairs of arms on the same images of which `fits(ours, theirs)` is true."""
    arms = list_arms(records)
    comparisons = []
    for ours, own in arms.items():
        for theirs, others in arms.items():
            if _where(ours) != _where(theirs) or not fits(ours, theirs):
                continue
            again = (ours.model, ours.recipe) == (theirs.model, theirs.recipe)
            compare = compare_uses if again else compare_trainings
            if gain := compare(_read_scores(own), _read_scores(others)):
                one, other = next(iter(own.values())), next(iter(others.values()))
                names = describe_arm(ours, one), describe_arm(theirs, other)
                where = describe_where(ours, one)
                cells = *list_cells(ours, own), *list_cells(theirs, others)
                comparisons.append(Comparison(ours, theirs, names, gain, where, cells))
    return comparisons


def stack_trainings(records: Records) -> list[Array]:
    """Scores [seeds, images] of networks used as they were trained, of two or more seeds.

    Sets too small for a verdict are left out.
    """
    arms = [
        stack_scores([result.per_image for result in trainings.values()])
        for arm, trainings in list_arms(records).items()
        if arm.recipe and arm.k is None and len(trainings) > 1
    ]
    return [scores for scores in arms if scores.shape[1] >= MIN_IMAGES]


def describe_where(cell: QualityCell, result: QualityResult) -> str:
    """Task, what comes before the network, set, and how many images where some are missing."""
    described = cell.described
    after = " after a blind deconvolution" if described.network != described.name else ""
    partial = f" ({result.partial} images)" if result.partial else ""
    return f"{cell.task}{after} on {cell.dataset}{partial}"


def describe_arm(arm: Arm, result: QualityResult) -> str:
    """Model, whether its weights ship, their recipe and, of a key-graph network, k."""
    keys = keys_of(arm)
    ships = "" if arm.recipe else "as it ships"
    details = filter(None, (ships, result.trained, f"k = {keys}" if keys else ""))
    return f"{arm.model} ({', '.join(details)})"


def keys_of(arm: Arm) -> int | None:
    """The k that a key-graph network is used with, its own where the cell names none."""
    config = config_of(arm)
    return arm.k or (config.k if config else None)


def config_of(arm: Arm) -> KGTConfig | None:
    """The configuration of a key-graph network, None of others."""
    return _read_config(arm.model)


@cache
def _read_config(model: str) -> KGTConfig | None:
    """Of a description; every pair of arms asks for it."""
    described = Description.parse(model)
    return preset(described.network, **described.fields) if described.network in PRESETS else None


def is_small(arm: Arm) -> bool:
    """Whether it is one of the small networks, which are no measure of the papers'."""
    return arm.described.size == "tiny"


def list_cells(arm: Arm, trainings: Mapping[int, QualityResult]) -> list[QualityCell]:
    """The cells of an arm's trainings."""
    return [arm.model_copy(update={"seed": seed}) for seed in trainings]


def _read_scores(trainings: Mapping[int, QualityResult]) -> dict[int, Scores]:
    return {seed: result.per_image for seed, result in trainings.items()}


def _where(cell: QualityCell) -> tuple[str, str, str]:
    return cell.task, cell.dataset, cell.protocol
