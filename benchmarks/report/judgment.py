"""A judged claim.

A verdict is HOLDS or FAILS only where the whole 99 % interval (or an exact count) says so; it is
UNCLEAR where the interval straddles the limit, and NOT MEASURED where there is nothing to judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.records.cell import Cell
from benchmarks.report.series import Records

# Letters of evidence that stand in one line.
_LONG = 160

VerdictLabel = Literal["HOLDS", "FAILS", "UNCLEAR", "NOT MEASURED"]


def judge_interval(lo: float | None, hi: float | None, limit: float) -> VerdictLabel:
    """Whether an interval lies above a limit (HOLDS) or below it (FAILS); None is no interval."""
    if lo is None or hi is None:
        return "UNCLEAR"
    return "HOLDS" if lo > limit else "FAILS" if hi < limit else "UNCLEAR"


def place_within(lo: float, hi: float, band: tuple[float, float]) -> VerdictLabel:
    """Whether an interval lies within a band (HOLDS) or beside it (FAILS)."""
    low, high = band
    if low <= lo and hi <= high:
        return "HOLDS"
    return "FAILS" if hi < low or lo > high else "UNCLEAR"


def decide(holds: bool) -> VerdictLabel:
    """The verdict of an exact count."""
    return "HOLDS" if holds else "FAILS"


def count_decided(verdicts: Counter[VerdictLabel]) -> str:
    """How many hold and how many fail, such as "1 holds, 2 fail"."""
    holds, fails = verdicts["HOLDS"], verdicts["FAILS"]
    return f"{holds} hold{'s' * (holds == 1)}, {fails} fail{'s' * (fails == 1)}"


@dataclass(frozen=True)
class Judgment:
    """A claim, or a part of one, with its verdict and evidence.

    `cells` are those whose records decide it, none where nothing was measured.
    """

    claim: str
    verdict: VerdictLabel
    evidence: str
    cells: tuple[Cell, ...] = field(default=(), compare=False, repr=False)

    @property
    def summary(self) -> str:
        """The evidence in a line: of long evidence the first part."""
        return self.evidence if len(self.evidence) <= _LONG else self.evidence.partition("; ")[0]


Judge = Callable[[Records], list[Judgment]]
JUDGES: dict[str, Judge] = {}


def judges(name: str) -> Callable[[Judge], Judge]:
    """Registers a function as the judge of the claim of that name in specifications."""

    def register(judge: Judge) -> Judge:
        JUDGES[name] = judge
        return judge

    return register


Answer = Callable[[Records], str]
NOT_MEASURED = "Not measured yet."
ANSWERS: dict[str, Answer] = {}


def answers(study: str) -> Callable[[Answer], Answer]:
    """Registers a function that sums the records of a study up in a sentence or two.

    A page opens with it. It says of what was not measured that it was not.
    """

    def register(answer: Answer) -> Answer:
        ANSWERS[study] = answer
        return answer

    return register
