"""Claims on twin patches: which selections of keys find a twin, and where one pays.

Judged at the largest window of the records, the only one that every pair of twins lies in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.data.twins import TESTS, Layout
from benchmarks.quality.seeds import (
    SeededGain,
    compare_trainings,
    describe_arms,
    stack_scores,
)
from benchmarks.records.cell import QualityCell
from benchmarks.records.result import QualityResult
from benchmarks.report.comparisons import Arm, config_of, keys_of, list_arms, list_cells
from benchmarks.report.judgment import (
    NOT_MEASURED,
    Judgment,
    VerdictLabel,
    answers,
    judge_interval,
    judges,
)
from benchmarks.report.series import Records
from benchmarks.tasks.twins import find_gain

DENSE = "every key"
# What looks at tokens to select keys; the rest are controls.
_SELECTIONS = ("dot", "cosine")
_CLAIM = "C9-distance selected keys restore from a distant twin"
# Of so many places one is won by chance in one of twenty studies, two in one of a thousand.
_WINS = 2


class Found(NamedTuple):
    """What one way to select keys gains on one set.

    Attributes:
        keys: the similarity, or `DENSE`.
        window: side of the windows in tokens.
        layout: distance and distractors of the set.
        trainings: the result of each seed.
        cells: those of the trainings.
    """

    keys: str
    window: int
    layout: Layout
    trainings: Mapping[int, QualityResult]
    cells: tuple[QualityCell, ...]

    @property
    def gain(self) -> SeededGain:
        """PSNR over the noisy input, over seeds and images."""
        gains = [
            {name: {"psnr": own} for name, own in zip(r.per_image, r.gain.samples, strict=True)}
            for r in self.trainings.values()
            if r.gain
        ]
        return describe_arms([stack_scores(gains)])

    @property
    def limit(self) -> float:
        """Half of what the twin allows, in dB: above it the twin was found."""
        ends = [find_gain(self.layout, with_twin=known) for known in (False, True)]
        return sum(ends) / 2

    @property
    def verdict(self) -> VerdictLabel:
        """Whether the twin was found; UNCLEAR also where seeds or images are too few."""
        gain = self.gain
        return "UNCLEAR" if gain.lacks else judge_interval(gain.lo, gain.hi, self.limit)

    def compare(self, other: Found) -> VerdictLabel:
        """Whether it restores better than another on the same set."""
        own, others = (
            {seed: result.per_image for seed, result in found.trainings.items()}
            for found in (self, other)
        )
        gain = compare_trainings(own, others)
        if gain is None or gain.lacks:
            return "UNCLEAR"
        return judge_interval(gain.lo, gain.hi, 0.0)


def list_found(records: Records) -> list[Found]:
    """The measured selections on all sets of twins, in the order of the records."""
    return [
        Found(
            *(_describe_keys(arm), config.window, TESTS[arm.dataset], trainings),
            tuple(list_cells(arm, trainings)),
        )
        for arm, trainings in list_arms(records).items()
        if arm.dataset in TESTS and arm.recipe and (config := config_of(arm))
        if all(result.gain for result in trainings.values())
    ]


@judges("C9-distance")
def judge_distance(records: Records) -> list[Judgment]:
    """C9 on twins: whether selected keys win anywhere, where, and which find the twin."""
    places = _list_places(records)
    if not places:
        return [Judgment(_CLAIM, "NOT MEASURED", "no network trained on twins")]
    wins = {layout: _find_winners(found) for layout, found in places.items()}
    everywhere = Judgment(
        f"{_CLAIM} better than nearest, random and every key, small-scale",
        _judge_wins(wins),
        f"{_describe_wins(wins)}; {_WINS} places are asked for, since one may be chance",
        tuple(cell for own in places.values() for found in own for cell in found.cells),
    )
    return [everywhere, *(_judge_found(found) for own in places.values() for found in own)]


@answers("distance")
def answer_distance(records: Records) -> str:
    """Where selected keys win, and where each selection fails."""
    places = _list_places(records)
    if not places:
        return NOT_MEASURED
    wins = {layout: _find_winners(found) for layout, found in places.items()}
    verdict = {
        "HOLDS": "Selected keys restore better than nearest, random and every key",
        "FAILS": "Selected keys win nowhere",
        "UNCLEAR": "Whether selected keys win anywhere is not decided",
    }[_judge_wins(wins)]
    keys = dict.fromkeys(found.keys for own in places.values() for found in own)
    fails = "; ".join(f"{name} {_describe_failures(name, places)}" for name in keys)
    where = "Where the twin is not found, by distance/distractors"
    return f"{verdict} ({_describe_wins(wins)}). {where}: {fails}."


_Places = Mapping[Layout, list[Found]]


def _list_places(records: Records) -> _Places:
    """What was found in the largest windows, by layout."""
    found = list_found(records)
    largest = max((one.window for one in found), default=0)
    places: dict[Layout, list[Found]] = {}
    for one in found:
        if one.window == largest:
            places.setdefault(one.layout, []).append(one)
    return dict(sorted(places.items()))


def _find_winners(found: list[Found]) -> list[str] | None:
    """The selections that beat all others than themselves; None where that is not decided."""
    selections = [one for one in found if one.keys in _SELECTIONS]
    rivals = [one for one in found if one.keys not in _SELECTIONS]
    compared = {one.keys: [one.compare(rival) for rival in rivals] for one in selections}
    winners = [keys for keys, verdicts in compared.items() if {*verdicts} == {"HOLDS"}]
    lost = all("FAILS" in verdicts for verdicts in compared.values())
    return winners if winners or (compared and rivals and lost) else None


def _judge_wins(wins: Mapping[Layout, list[str] | None]) -> VerdictLabel:
    """HOLDS with enough places won; FAILS where the undecided ones could not make up for it."""
    won = sum(bool(winners) for winners in wins.values())
    undecided = sum(winners is None for winners in wins.values())
    if won >= _WINS:
        return "HOLDS"
    return "FAILS" if won + undecided < _WINS else "UNCLEAR"


def _describe_wins(wins: Mapping[Layout, list[str] | None]) -> str:
    won = [
        f"{' and '.join(winners)} at distance {layout.distance} among {layout.distractors}"
        for layout, winners in wins.items()
        if winners
    ]
    undecided = sum(winners is None for winners in wins.values())
    open_places = f", {undecided} undecided" if undecided else ""
    places = f"{len(won)} of {len(wins)} places won{open_places}"
    return f"{places}: {', '.join(won)}" if won else places


def _describe_failures(keys: str, places: _Places) -> str:
    """Distances and distractors at which a selection does not find the twin, and open ones."""
    verdicts = {
        layout: found.verdict
        for layout, own in places.items()
        for found in own
        if found.keys == keys
    }
    parts = []
    for verdict, text in (("FAILS", ""), ("UNCLEAR", "not decided ")):
        own = [f"{lay.distance}/{lay.distractors}" for lay, v in verdicts.items() if v == verdict]
        if len(own) == len(verdicts):
            parts.append(f"{text}anywhere")
        elif own:
            parts.append(f"{text}at {', '.join(own)}")
    return " and ".join(parts) or "nowhere"


def _judge_found(found: Found) -> Judgment:
    distance, distractors = found.layout
    keys = found.keys if found.keys == DENSE else f"keys by {found.keys}"
    claim = (
        f"C9-distance a twin at distance {distance} among {distractors} distractors is found by "
        f"{keys} in windows of {found.window}x{found.window} tokens, small-scale"
    )
    best = find_gain(found.layout, with_twin=True)
    evidence = f"{found.gain.describe()} over the input; limit {found.limit:+.3f} dB, "
    evidence += f"optimum {best:+.3f} dB"
    if found.gain.lacks:
        evidence += f"; {found.gain.lacks}"
    return Judgment(claim, found.verdict, evidence, found.cells)


def _describe_keys(arm: Arm) -> str:
    config, keys = config_of(arm), keys_of(arm)
    if config is None or keys is None:
        raise ValueError(f"{arm.model} selects no keys")
    return DENSE if keys >= config.window**2 else config.similarity
