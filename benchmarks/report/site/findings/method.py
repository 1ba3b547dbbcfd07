"""Findings on the method's choices: which keys, how many, k drawn at random, growth with pixels."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.records.cell import Cell, NetworkCell
from benchmarks.report.claims.training import CONTROLS, Tested
from benchmarks.report.comparisons import Arm, keys_of
from benchmarks.report.judgment import VerdictLabel
from benchmarks.report.networks import LINEAR
from benchmarks.report.site.findings.finding import (
    Finding,
    Number,
    describe_ends,
    draw_differences,
    format_db,
)
from benchmarks.report.site.findings.quality import records_of
from benchmarks.report.site.library import Claim, Library

_Tests = list[tuple[Tested, Claim]]


def _list_tests(library: Library, starts: str) -> _Tests:
    """Comparisons whose claim starts so."""
    return [pair for pair in library.tests if pair[0].claim.startswith(starts)]


def _sum_up(tests: _Tests) -> VerdictLabel:
    """HOLDS where all hold, FAILS where one fails, else UNCLEAR."""
    verdicts = {tested.verdict for tested, _ in tests}
    if "FAILS" in verdicts:
        return "FAILS"
    return "HOLDS" if verdicts == {"HOLDS"} else "UNCLEAR"


def _why(tests: _Tests) -> str:
    """What a verdict lacks, or what the first one rests on."""
    lacking = {reason: None for tested, _ in tests for reason in tested.reasons}
    return "; ".join(lacking) or tests[0][0].found.gain.describe()


def _number(pair: tuple[Tested, Claim], label: str) -> Number:
    tested, claim = pair
    records = records_of(claim.exhibit.records, tested)
    return Number(format_db(tested.found.gain.mean), describe_ends(tested), label, records)


def _prefer_judged(tests: _Tests) -> _Tests:
    """Comparisons with seeds enough for a verdict; all where none has."""
    return [pair for pair in tests if not pair[0].reasons] or tests


def _count_ahead(tests: _Tests) -> int:
    return sum(tested.found.gain.mean > 0 for tested, _ in tests)


def _find(
    key: str,
    question: str,
    tests: _Tests,
    say: Callable[[VerdictLabel, tuple[Tested, Claim]], str],
    name: Callable[[Tested], str],
    about: str,
) -> Finding | None:
    """A finding of comparisons, whose sentence is about the judged one farthest from even."""
    if not tests:
        return None
    verdict = _sum_up(tests)
    leading = max(_prefer_judged(tests), key=lambda pair: abs(pair[0].found.gain.mean))
    # A verdict against us shows the number that it rests on, as large as any.
    failed = [pair for pair in tests if pair[0].verdict == "FAILS"]
    worst = min(failed, key=lambda pair: pair[0].found.gain.mean, default=leading)
    numbers = [leading] if worst is leading else [leading, worst]
    return Finding(
        key=key,
        question=question,
        sentence=say(verdict, leading),
        verdict=verdict,
        why=_why(tests),
        numbers=tuple(_number(pair, f"{name(pair[0])}, {pair[0].found.where}") for pair in numbers),
        chart=draw_differences([(name(tested), tested) for tested, _ in tests]),
        about=about,
        claims=tuple(claim for _, claim in tests),
    )


def _similarity_of(arm: Arm) -> str:
    return arm.described.fields.get("similarity", "dot")


def _find_by_measure(
    key: str,
    question: str,
    tests: _Tests,
    words: dict[VerdictLabel, str],
    about: str,
    arm_of: Callable[[Tested], Arm] = lambda tested: tested.found.ours,
) -> Finding | None:
    """A finding of ways to select keys, whose words may name the best judged one and its lead."""

    def say(verdict: VerdictLabel, leading: tuple[Tested, Claim]) -> str:
        judged = (tested for tested, _ in _prefer_judged(tests))
        best = max(judged, key=lambda tested: tested.found.gain.mean)
        return words[verdict].format(
            all=len(tests),
            ahead=_count_ahead(tests),
            decided=sum(tested.verdict == "HOLDS" for tested, _ in tests),
            best=_similarity_of(arm_of(best)),
            lead=format_db(best.found.gain.mean),
        )

    return _find(
        key=key,
        question=question,
        tests=tests,
        say=say,
        name=lambda tested: f"{_similarity_of(arm_of(tested))}, {tested.found.ours.dataset}",
        about=about,
    )


def find_similarity(library: Library) -> Finding | None:
    """Whether keys that are selected in another way restore better than as many as printed."""
    text = "Keys by {best} change PSNR by up to {lead} against as many by dot product: "
    return _find_by_measure(
        key="similarity",
        question="Do keys by another measure restore better?",
        tests=[
            pair
            for pair in _list_tests(library, "C9 ")
            if "restore better than as many by dot" in pair[0].claim
            and _similarity_of(pair[0].found.ours) not in CONTROLS
        ],
        words={
            "HOLDS": text + "better in all {all} cases.",
            "FAILS": text + "ahead in {ahead} of {all} cases, not all.",
            "UNCLEAR": text + "ahead in {ahead} of {all} cases, decided in {decided}.",
        },
        about="Difference of keys by another measure less as many by dot product in PSNR, dB.",
    )


def find_controls(library: Library) -> Finding | None:
    """Whether keys that the printed product selects beat as many that look at no token."""
    return _find_by_measure(
        key="controls",
        question="Does it matter which keys are kept?",
        tests=_list_tests(library, "C9 keys by dot restore better than as many by "),
        words={
            "HOLDS": "Keys by dot product restore better than as many nearest or random ones in "
            "all {all} cases.",
            "FAILS": "Keys by dot product do not always restore better than as many nearest or "
            "random ones: ahead in {ahead} of {all} cases.",
            "UNCLEAR": "Keys by dot product score above as many nearest or random ones in {ahead} "
            "of {all} cases, decided in {decided}.",
        },
        about="Difference of keys by dot product less as many that look at no token in PSNR, dB.",
        arm_of=lambda tested: tested.found.theirs,
    )


def find_selection(library: Library) -> Finding | None:
    """Whether the keys that a graph selects restore better than every key of the window."""
    return _find_by_measure(
        key="selection",
        question="Do selected keys beat all keys?",
        tests=[
            pair
            for pair in _list_tests(library, "C9 ")
            if "restore better than all" in pair[0].claim
            and _similarity_of(pair[0].found.ours) not in CONTROLS
        ],
        words={
            "HOLDS": "Selected keys restore better than every key of the window in all {all} "
            "cases; best by {best}.",
            "FAILS": "Selected keys do not always restore better than every key: ahead in {ahead} "
            "of {all} cases; best by {best}.",
            "UNCLEAR": "Selected keys score above every key of the window in {ahead} of {all} "
            "cases, decided in {decided}; best by {best}.",
        },
        about="Difference of selected keys less every key in PSNR, dB.",
    )


def find_fewer_keys(library: Library) -> Finding | None:
    """What training with fewer keys than the window has costs."""
    tests = _list_tests(library, "C4 a network trained and used")

    def say(verdict: VerdictLabel, leading: tuple[Tested, Claim]) -> str:
        found = leading[0].found
        few, many = keys_of(found.ours), keys_of(found.theirs)
        gain = found.gain.mean
        side = f"{abs(gain):.2f} dB {'less' if gain < 0 else 'more'}"
        ends = {
            "HOLDS": "nearly as good",
            "FAILS": "a loss",
            "UNCLEAR": "too few seeds to judge",
        }
        return (
            f"Trained and used with {few} of {many} keys, a small network scores {side} than "
            f"with every key: {ends[verdict]}."
        )

    return _find(
        key="fewer-keys",
        question="What do fewer keys cost in quality?",
        tests=tests,
        say=say,
        name=lambda t: f"k = {keys_of(t.found.ours)}, {t.found.ours.dataset}",
        about="Difference of few keys less every key, trained and used alike, in PSNR, dB.",
    )


def find_random_k(library: Library) -> Finding | None:
    """Whether a network that was trained with random k can be used with few keys."""
    tests = _list_tests(library, "C4 trained with random k")

    def say(verdict: VerdictLabel, leading: tuple[Tested, Claim]) -> str:
        found = leading[0].found
        few, many = keys_of(found.ours), keys_of(found.theirs)
        ends = {
            "HOLDS": "nearly as good",
            "FAILS": "more than little",
            "UNCLEAR": "too few seeds to judge",
        }
        return (
            f"Trained with random k, a network loses {abs(found.gain.mean):.2f} dB at k = {few} "
            f"against k = {many}: {ends[verdict]}."
        )

    return _find(
        key="random-k",
        question="Can one network serve every k?",
        tests=tests,
        say=say,
        name=lambda t: f"k = {keys_of(t.found.ours)}",
        about="Difference of a small k less the largest, one network, in PSNR, dB.",
    )


def _has_key_graph(cell: Cell) -> bool:
    return (
        isinstance(cell, NetworkCell)
        and cell.model.startswith("kgt")
        and not cell.model.endswith("-dense")
    )


def find_linear_growth(library: Library) -> Finding | None:
    """Whether the cost of key-graph networks grows in proportion to the number of pixels."""
    judged = [
        claim
        for claim in library.claims()
        if claim.judgment.claim.startswith("C8 ")
        and claim.exhibit.profile_name != "smoke"
        and claim.judgment.verdict != "NOT MEASURED"
        and all(_has_key_graph(cell) for cell in claim.judgment.cells)
    ]
    if not judged:
        return None
    by_verdict: dict[VerdictLabel, list[Claim]] = {"FAILS": [], "UNCLEAR": [], "HOLDS": []}
    for claim in judged:
        by_verdict[claim.judgment.verdict].append(claim)
    verdict = next(label for label, found in by_verdict.items() if found)
    what = " and ".join(dict.fromkeys(claim.judgment.claim.split()[1] for claim in judged))
    holds, fails = by_verdict["HOLDS"], by_verdict["FAILS"]
    return Finding(
        key="linear-growth",
        question="Does cost grow with the pixels alone?",
        sentence=f"Of key-graph networks, {what} grow in proportion to the pixels in {len(holds)} "
        f"of {len(judged)} measured lines; {len(fails)} grow otherwise.",
        verdict=verdict,
        why="; ".join(claim.judgment.evidence for claim in by_verdict[verdict]),
        numbers=(
            Number(
                f"{len(holds)} of {len(judged)}",
                f"exponent within {LINEAR[0]:.2f} to {LINEAR[1]:.2f}",
                "lines that are linear",
                tuple(
                    claim.exhibit.records[cell]
                    for claim in judged
                    for cell in claim.judgment.cells
                    if cell in claim.exhibit.records
                ),
            ),
        ),
        chart=None,
        about="",
        claims=tuple(judged),
    )
