"""What the studies on trained networks found, in a sentence or two each, from their differences."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from benchmarks.report.claims.fair import list_fair, list_random_k
from benchmarks.report.claims.training import Tested, list_tested
from benchmarks.report.judgment import NOT_MEASURED, answers, count_decided
from benchmarks.report.series import Records

# What sentences on k ask that differ in numbers alone, by what they have in common.
_ON_K = {
    "restores better than one trained": "random k in training restores better than a fixed one",
    "random k, a network is nearly": "trained with random k, other k in use costs less than 0.1 dB",
    "drops from there": "trained with a fixed k, fewer keys in use cost more than 0.1 dB",
    "trained and used with": "fewer keys in training and in use cost less than 0.1 dB",
}


@answers("keys")
def answer_keys(records: Records) -> str:
    """Which selections beat which."""
    return sum_up(_list_claims(records, "C9"))


@answers("window")
def answer_window(records: Records) -> str:
    """Whether larger windows pay, and whether selection does within them."""
    return sum_up(_list_claims(records, "C5", "C9"))


@answers("sharing")
def answer_sharing(records: Records) -> str:
    """Whether a shared graph loses quality."""
    return sum_up(_list_claims(records, "C3"))


@answers("k")
def answer_k(records: Records) -> str:
    """What k costs in training and in use, and how random k does beside SwinIR."""

    def label(tested: Tested) -> str:
        known = (text for part, text in _ON_K.items() if part in tested.claim)
        return next(known, _drop_details(tested))

    return sum_up([*_list_claims(records, "C4"), *list_random_k(records)], label)


@answers("fair")
def answer_fair(records: Records) -> str:
    """Where KGT beats SwinIR and dense windows on equal terms."""
    return sum_up(list_fair(records))


def _list_claims(records: Records, *claims: str) -> list[Tested]:
    return [tested for tested in list_tested(records) if tested.claim.partition(" ")[0] in claims]


def _drop_details(tested: Tested) -> str:
    """The sentence of a claim, without its number, its scale and where it is judged."""
    sentence = tested.claim.rpartition(": ")[0].removesuffix(", small-scale")
    return sentence.partition(" ")[2]


def sum_up(tests: Iterable[Tested], label: Callable[[Tested], str] = _drop_details) -> str:
    """How many of the differences hold, and the same by what they have in common.

    Args:
        tests: the differences.
        label: what those have in common that are counted together.
    """
    groups: dict[str, list[Tested]] = defaultdict(list)
    for tested in tests:
        groups[label(tested)].append(tested)
    if not groups:
        return NOT_MEASURED
    everything = [tested for group in groups.values() for tested in group]
    parts = [f"{text} ({_count(group)})" for text, group in groups.items()]
    return f"Of {len(everything)} differences, {_count(everything)}. By claim: {'; '.join(parts)}."


def _count(tests: list[Tested]) -> str:
    counts = Counter(tested.verdict for tested in tests)
    means = [tested.found.gain.mean for tested in tests]
    verdicts = f"{count_decided(counts)}, {counts['UNCLEAR']} undecided"
    low, high = min(means), max(means)
    return f"{verdicts}, {low:+.2f} dB" + (f" to {high:+.2f} dB" if len(means) > 1 else "")
