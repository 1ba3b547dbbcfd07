"""Claims on what the method's choices do to quality, judged on networks that were trained here.

A claim is judged on each task and set for itself, by the difference of two arms of trainings over
seeds and images, see `benchmarks.quality.seeds`. One verdict on several sets is none: that all of
them hold is read from their rows, and that one of many fails, by chance one soon does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from benchmarks.records.cell import QualityCell
from benchmarks.report.comparisons import (
    Arm,
    Comparison,
    compare_arms,
    config_of,
    is_small,
    keys_of,
)
from benchmarks.report.judgment import Judgment, VerdictLabel, judge_interval, judges
from benchmarks.report.series import Records
from benchmarks.tasks import get_task
from benchmarks.training.recipes import Recipe, load_recipe

# What "no loss", "nearly flat", "little" and a "drop" are taken to mean, in dB.
_LITTLE = 0.1

_ONE_FOR_ALL = "C6 one model for many degradation levels loses little"
BEATS_SWINIR = "C7 KGT beats SwinIR at the same parameters"
# The similarity that is printed.
_PRINTED = "dot"
# Selections that look at no token, which are there to be beaten.
CONTROLS = ("nearest", "random")


class Tested(NamedTuple):
    """A claim and the comparison that decides it.

    Attributes:
        claim: the sentence, with where it is judged.
        found: the comparison.
        at_least: the limit in dB above which the difference must lie.
        unlike: why the two arms are not comparable, empty where they are.
    """

    claim: str
    found: Comparison
    at_least: float
    unlike: str

    @property
    def reasons(self) -> list[str]:
        """Why there is no verdict; empty where there is one."""
        return [reason for reason in (self.unlike, self.found.gain.lacks) if reason]

    @property
    def verdict(self) -> VerdictLabel:
        """HOLDS where the interval lies above the limit, FAILS below; UNCLEAR where none may be."""
        gain = self.found.gain
        return "UNCLEAR" if self.reasons else judge_interval(gain.lo, gain.hi, self.at_least)


def list_tested(records: Records) -> list[Tested]:
    """All claims of this module that records can test, in order."""
    tests = (
        *(_test_selection, _test_windows, _test_shared_graph, _test_random_k),
        *(_test_levels, _test_small),
    )
    return [tested for test in tests for tested in test(records)]


@judges("C9")
def judge_selection(records: Records) -> list[Judgment]:
    """C9: ways to select keys against one another at equal k, and against no selection."""
    return judge_tests("C9 which keys are selected matters", _test_selection(records))


@judges("C5-small")
def judge_windows(records: Records) -> list[Judgment]:
    """C5: networks that differ in their windows alone."""
    return judge_tests("C5 larger windows restore better", _test_windows(records))


@judges("C3")
def judge_shared_graph(records: Records) -> list[Judgment]:
    """C3: a graph per stage against one that is built anew in every layer."""
    claim = "C3 sharing the graph loses no quality against one per layer"
    return judge_tests(claim, _test_shared_graph(records))


@judges("C4")
def judge_random_k(records: Records) -> list[Judgment]:
    """C4: k drawn anew in each step against fixed ones, at every k of inference, and over them."""
    return judge_tests("C4 random k in training", _test_random_k(records))


@judges("C6-small")
def judge_one_network_for_levels(records: Records) -> list[Judgment]:
    """C6: one network for several levels against one per level that saw as much of its level."""
    return judge_tests(_ONE_FOR_ALL, _test_levels(records))


@judges("C7-small")
def judge_small_kgt_against_swinir(records: Records) -> list[Judgment]:
    """C7 on small networks of equal size, task by task."""
    return judge_tests(BEATS_SWINIR, _test_small(records))


def _test_selection(records: Records) -> list[Tested]:
    def against_printed(ours: Arm, theirs: Arm) -> bool:
        own, other = _selected_by(ours), _selected_by(theirs)
        printed = _PRINTED in (own, other) and own not in (None, *CONTROLS)
        favored = other in CONTROLS if own == _PRINTED else other == _PRINTED
        return printed and favored and _differ_by(ours, theirs, similarity=other)

    def against_all(ours: Arm, theirs: Arm) -> bool:
        many = keys_of(theirs) or 0
        fewer = _is_dense(theirs) and (keys_of(ours) or 0) < many
        return fewer and _differ_by(ours, theirs, k=many, similarity=_selected_by(theirs))

    def better(found: Comparison) -> str:
        own, other = _selected_by(found.ours), _selected_by(found.theirs)
        return f"C9 keys by {own} restore better than as many by {other}"

    def better_than_all(found: Comparison) -> str:
        few = f"{keys_of(found.ours)} keys by {_selected_by(found.ours)}"
        return f"C9 {few} restore better than all {keys_of(found.theirs):,} of a window"

    return [
        *_test(compare_arms(records, against_printed), better, 0.0),
        *_test(compare_arms(records, against_all), better_than_all, 0.0),
    ]


def _test_windows(records: Records) -> list[Tested]:
    def fits(ours: Arm, theirs: Arm) -> bool:
        other = config_of(theirs)
        if other is None or max(_sides(ours)) <= max(_sides(theirs)):
            return False
        windows = {"window": other.window, "level_windows": other.level_windows}
        keys = {"k": other.k} if _is_dense(ours) and _is_dense(theirs) else {}
        return _differ_by(ours, theirs, **windows, **keys)

    def claim(found: Comparison) -> str:
        own, other = (" and ".join(map(str, _sides(arm))) for arm in (found.ours, found.theirs))
        keys = "every key" if _is_dense(found.ours) else f"{keys_of(found.ours)} keys"
        return f"C5 windows of side {own} restore better than of {other}, with {keys}"

    return _test(compare_arms(records, fits), claim, 0.0)


def _test_shared_graph(records: Records) -> list[Tested]:

    def fits(ours: Arm, theirs: Arm) -> bool:
        rebuilt = str(ours.described.rebuilt_graphs())
        return ours.model != rebuilt and theirs == _change(ours, model=rebuilt)

    def claim(found: Comparison) -> str:
        over = f"over a stage of {_count_layers(found.ours)}"
        return f"C3 sharing the graph {over} loses no quality against one per layer"

    return _test(compare_arms(records, fits), claim, -_LITTLE)


def _test_random_k(records: Records) -> list[Tested]:
    def random_against_fixed(ours: Arm, theirs: Arm) -> bool:
        kinds = len(_trained_k(ours)) > 1, len(_trained_k(theirs)) > 1
        alike = _recipes_differ(ours, theirs, "k") and keys_of(ours) == keys_of(theirs)
        return kinds == (True, False) and alike

    def few_against_most(ours: Arm, theirs: Arm) -> bool:
        most = max(_trained_k(ours), default=0)
        fewer = _is_other_use(ours, theirs) and keys_of(theirs) == most
        return len(_trained_k(ours)) > 1 and fewer and keys_of(ours) != most

    def trained_against_fewer(ours: Arm, theirs: Arm) -> bool:
        fewer = (keys_of(theirs) or 0) < (keys_of(ours) or 0)
        return _is_other_use(ours, theirs) and _uses_trained_k(ours) and fewer

    def few_against_many(ours: Arm, theirs: Arm) -> bool:
        fewer = _recipes_differ(ours, theirs, "k") and _trained_k(ours) < _trained_k(theirs)
        return fewer and _uses_trained_k(ours) and _uses_trained_k(theirs)

    def beats(found: Comparison) -> str:
        fixed, keys = _trained_k(found.theirs)[0], keys_of(found.ours)
        used = f"C4 used with k = {keys}, a network trained with random k"
        return f"{used} restores better than one trained with k = {fixed}"

    def keeps(found: Comparison) -> str:
        few, many = keys_of(found.ours), keys_of(found.theirs)
        trained = "C4 trained with random k, a network"
        return f"{trained} is nearly as good at k = {few} as at k = {many}"

    def drops(found: Comparison) -> str:
        many, few = keys_of(found.ours), keys_of(found.theirs)
        return f"C4 trained with k = {many}, a network drops from there to k = {few}"

    def spares(found: Comparison) -> str:
        few, many = keys_of(found.ours), keys_of(found.theirs)
        return f"C4 a network trained and used with k = {few} is nearly as good as with k = {many}"

    return [
        *_test(compare_arms(records, random_against_fixed), beats, 0.0),
        *_test(compare_arms(records, few_against_most), keeps, -_LITTLE),
        *_test(compare_arms(records, trained_against_fewer), drops, _LITTLE),
        *_test(compare_arms(records, few_against_many), spares, -_LITTLE),
    ]


def _test_levels(records: Records) -> list[Tested]:
    def fits(ours: Arm, theirs: Arm) -> bool:
        counts = [len(_recipe(arm).tasks) if arm.recipe else 0 for arm in (ours, theirs)]
        alike = ours.model == theirs.model and ours.k == theirs.k
        several = counts[0] > counts[1] == 1
        return alike and several and _recipes_differ(ours, theirs, "tasks", "steps", "batch")

    def compared(found: Comparison) -> str:
        own, other = (_count_patches(_recipe(arm)) for arm in (found.ours, found.theirs))
        unlike = f"not comparable: {own:,g} and {other:,g} patches of the level in training"
        return "" if own == other else unlike

    return _test(compare_arms(records, fits), lambda _: _ONE_FOR_ALL, -_LITTLE, compared)


def _test_small(records: Records) -> list[Tested]:
    return _test(compare_with_swinir(records), lambda _: BEATS_SWINIR, 0.0)


def compare_with_swinir(records: Records) -> list[Comparison]:
    """Small KGT against SwinIR of the same size and recipe, on images of their own channels."""

    def fits(ours: Arm, theirs: Arm) -> bool:
        config = config_of(ours)
        if not config or not is_small(ours) or config.restored_channels != _count_channels(ours):
            return False
        return theirs == _change(ours, model=str(ours.described.of_family("swinir")))

    return compare_arms(records, fits)


def _test(
    comparisons: list[Comparison],
    claim: Callable[[Comparison], str],
    at_least: float,
    unlike: Callable[[Comparison], str] = lambda _: "",
) -> list[Tested]:
    """What comparisons test; `claim` is the sentence of one, without scale and where."""
    tested = []
    for found in comparisons:
        scale = ", small-scale" if is_small(found.ours) else ""
        sentence = f"{claim(found)}{scale}: {found.where}"
        tested.append(Tested(sentence, found, at_least, unlike(found)))
    return tested


def judge_tests(claim: str, tests: list[Tested]) -> list[Judgment]:
    """A judgment of each test; of none, that the claim was not measured.

    Args:
        claim: the sentence of what was not measured.
        tests: what decides it.
    """
    judgments = []
    for tested in tests:
        limit = [f"limit {tested.at_least:+g} dB"] if tested.at_least else []
        evidence = "; ".join([str(tested.found), *limit, *tested.reasons])
        cells = tested.found.cells
        judgments.append(Judgment(tested.claim, tested.verdict, evidence, cells))
    return judgments or [Judgment(claim, "NOT MEASURED", "no pair of trained networks")]


@cache
def _load(name: str) -> Recipe:
    return load_recipe(name)


def _recipe(arm: Arm) -> Recipe:
    return _load(str(arm.recipe))


def _recipes_differ(ours: Arm, theirs: Arm, *fields: str) -> bool:
    """Whether one network was trained by two recipes that differ in some of these fields alone."""
    if ours.model != theirs.model or not ours.recipe or not theirs.recipe:
        return False
    found = _recipe(ours).find_differences(_recipe(theirs))
    return bool(found) and found <= {*fields}


def _selected_by(arm: Arm) -> str | None:
    """By which similarity a key-graph network selects its keys; None of other networks."""
    config = config_of(arm)
    return None if config is None else config.similarity


def _is_dense(arm: Arm) -> bool:
    """Whether a key-graph network keeps every key."""
    return (keys_of(arm) or 0) >= max(_sides(arm)) ** 2 > 0


def _sides(arm: Arm) -> tuple[int, ...]:
    config = config_of(arm)
    return (0,) if config is None else config.windows


def _differ_by(ours: Arm, theirs: Arm, **fields: Any) -> bool:
    """Whether two trainings, used as they were trained, differ in these fields alone."""
    own, other = config_of(ours), config_of(theirs)
    if own is None or other is None or own == other or ours.recipe is None:
        return False
    alike = ours.recipe == theirs.recipe and ours.k is None and theirs.k is None
    return alike and replace(own, **fields) == other


def _is_other_use(ours: Arm, theirs: Arm) -> bool:
    """Whether these are the same trainings with another k."""
    return ours.recipe is not None and ours != theirs == _change(ours, k=theirs.k)


def _trained_k(arm: Arm) -> tuple[int, ...]:
    """The k of a training, several where it is drawn; empty of other networks."""
    config = config_of(arm)
    if config is None or arm.recipe is None:
        return ()
    k = _recipe(arm).k or config.k
    return (k,) if isinstance(k, int) else k


def _uses_trained_k(arm: Arm) -> bool:
    return _trained_k(arm) == (keys_of(arm),)


def _count_patches(recipe: Recipe) -> float:
    """How many patches of each of its tasks a training sees; they are drawn evenly."""
    return recipe.steps * recipe.batch / len(recipe.tasks)


def _count_channels(arm: Arm) -> int:
    return get_task(arm.task).channels


def _count_layers(arm: Arm) -> str:
    """Layers of a stage of a key-graph network."""
    config = config_of(arm)
    if config is None:
        return "layers"
    after = config.final_depth if config.shape == "u" else 0
    depths = {*config.depths, after} - {0}
    return f"{' or '.join(map(str, sorted(depths)))} layers"


def _change(cell: QualityCell, **fields: object) -> QualityCell:
    return cell.model_copy(update=fields)
