"""KGT against SwinIR on every task and level: which difference is shown, and how it is drawn."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from benchmarks.quality.seeds import MIN_IMAGES, MIN_SEEDS
from benchmarks.report import signs
from benchmarks.report.claims.training import BEATS_SWINIR, Tested
from benchmarks.report.site.library import Claim, Library
from benchmarks.tasks import get_task

# Where a difference in dB has the full color.
FULL_DB = 0.5


@dataclass(frozen=True)
class Square:
    """A task with the difference that is shown of it.

    Attributes:
        task, family, level: names.
        tested, claim: the comparison that is shown and its page: one with enough seeds for a
            verdict or, while there is none, of the networks that ship, on most images.
        others: all other comparisons, of other sets and other networks.
    """

    task: str
    family: str
    level: str
    tested: Tested
    claim: Claim
    others: list[tuple[Tested, Claim]]

    @property
    def mean(self) -> float:
        """Difference in dB, above 0 for us."""
        return self.tested.found.gain.mean

    @property
    def ends(self) -> tuple[float, float] | None:
        """The widest 99 % interval that there is, see `over_seeds`."""
        return ends_of(self.tested)

    @property
    def over_seeds(self) -> bool:
        """Whether the interval is over seeds, too, so that it can decide."""
        return self.tested.found.gain.lo is not None

    @property
    def all(self) -> list[tuple[Tested, Claim]]:
        """All comparisons with their pages, the one that is shown first."""
        return [(self.tested, self.claim), *self.others]

    @property
    def compared(self) -> list[Tested]:
        """The comparison shown, and those of the same networks on other sets that may be judged."""
        same = [self.tested, *(tested for tested, _ in self.others if self._is_alike(tested))]
        return [tested for tested in same if tested.found.gain.images >= MIN_IMAGES] or same[:1]

    def _is_alike(self, tested: Tested) -> bool:
        pairs = [
            [(arm.model, arm.recipe) for arm in (one.found.ours, one.found.theirs)]
            for one in (self.tested, tested)
        ]
        return pairs[0] == pairs[1]

    @property
    def side(self) -> str:
        """Where the intervals of all sets lie: "ahead" or "behind"; "even" where they disagree."""
        sides = {side_of(tested) for tested in self.compared}
        return sides.pop() if len(sides) == 1 else "even"

    @property
    def count(self) -> str:
        """On how many sets the whole interval lies above 0."""
        ahead = sum(side_of(tested) == "ahead" for tested in self.compared)
        return f"{ahead} of {len(self.compared)}"

    @property
    def color(self) -> str:
        """The color of the difference."""
        return signs.blend(self.mean / FULL_DB)

    @property
    def ink(self) -> str:
        """What is read on the color."""
        return signs.ink_on(self.color)


def ends_of(tested: Tested) -> tuple[float, float] | None:
    """The 99 % interval over seeds and images or, where there are too few seeds, over images."""
    gain = tested.found.gain
    if gain.lo is not None and gain.hi is not None:
        return gain.lo, gain.hi
    return gain.over_images


def side_of(tested: Tested) -> str:
    """Whether the whole interval lies above 0 ("ahead") or below it ("behind"), or holds it."""
    lo, hi = ends_of(tested) or (-1.0, 1.0)
    return "ahead" if lo > 0 else "behind" if hi < 0 else "even"


def list_squares(library: Library) -> list[Square]:
    """A square per task, in the order of the records."""
    found: dict[str, list[tuple[Tested, Claim]]] = defaultdict(list)
    for tested, claim in library.tests:
        if tested.claim.startswith(BEATS_SWINIR):
            found[tested.found.ours.task].append((tested, claim))
    squares = []
    for name, tests in found.items():
        first, *others = sorted(tests, key=lambda pair: _rank(pair[0]))
        task = get_task(name)
        squares.append(Square(name, task.family, task.variant, *first, others))
    return squares


def _rank(tested: Tested) -> tuple[bool, bool, int]:
    """What can be judged comes first, then the networks that ship, then most images."""
    gain = tested.found.gain
    return min(gain.seeds) < MIN_SEEDS, tested.found.ours.recipe is not None, -gain.images
