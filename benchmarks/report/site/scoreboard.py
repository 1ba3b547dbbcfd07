"""KGT against SwinIR on every task and level: which difference is shown, and how it is drawn."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

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
        tested, claim: the comparison of most seeds and then most images, and its page.
        others: the comparisons on other sets.
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
    def side(self) -> str:
        """Where the whole interval lies: "ahead", "behind" or "even"."""
        return side_of(self.tested)

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


def _rank(tested: Tested) -> tuple[int, int]:
    """Comparisons of most seeds come first, then those of most images."""
    gain = tested.found.gain
    return -min(gain.seeds), -gain.images
