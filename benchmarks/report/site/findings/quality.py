"""Findings on quality: KGT against SwinIR, and against a peer with its authors' weights."""

from __future__ import annotations

from collections import Counter

from benchmarks.quality.seeds import MIN_SEEDS
from benchmarks.records.record import Record
from benchmarks.report.claims.training import Tested
from benchmarks.report.comparisons import Arm, compare_arms
from benchmarks.report.judgment import VerdictLabel
from benchmarks.report.series import Records
from benchmarks.report.site.findings.finding import (
    Finding,
    Number,
    describe_ends,
    draw_differences,
    format_db,
)
from benchmarks.report.site.library import Library
from benchmarks.report.site.scoreboard import Square, list_squares, side_of

_PEER, _OURS = "smfanet-x4", "kgt-tiny-x4"


def find_against_swinir(library: Library) -> Finding | None:
    """Whether small KGT beats small SwinIR, over all tasks and levels that were compared."""
    squares = list_squares(library)
    if not squares:
        return None
    sides = Counter(square.side for square in squares)
    verdicts = [square.tested.verdict for square in squares]
    verdict: VerdictLabel = "UNCLEAR"
    if "FAILS" in verdicts:
        verdict = "FAILS"
    elif all(one == "HOLDS" for one in verdicts):
        verdict = "HOLDS"
    words = {
        "HOLDS": "KGT scores above SwinIR of equal size on all {all} tasks and levels.",
        "FAILS": "KGT scores above SwinIR of equal size on {ahead} of {all} tasks and levels, "
        "below on {behind}, undecided on {even}.",
        "UNCLEAR": "KGT scores above SwinIR of equal size on {ahead} of {all} tasks and levels, "
        "below on {behind}, undecided on {even}; too few seeds to judge.",
    }
    seeds = min(min(square.tested.found.gain.seeds) for square in squares)
    sentence = words[verdict].format(
        all=len(squares), **{side: sides[side] for side in ("ahead", "behind", "even")}
    )
    best, worst = (choose(squares, key=lambda s: s.mean) for choose in (max, min))
    # Larger and smaller differences of a family hide one another: the farthest one is drawn.
    farthest: dict[str, Square] = {}
    for square in squares:
        known = farthest.get(square.family)
        if known is None or abs(square.mean) > abs(known.mean):
            farthest[square.family] = square
    drawn = [(square.task, square.tested) for square in farthest.values()]
    why = "every comparison has an interval over seeds and images"
    if seeds < MIN_SEEDS:
        why = f"{seeds} training of each where fewest; a verdict takes {MIN_SEEDS}"
    return Finding(
        key="against-swinir",
        question="Is KGT better than SwinIR?",
        sentence=sentence,
        verdict=verdict,
        why=f"{why}; small networks of equal size{_say_recipes(squares)}. A task counts as above "
        "or below where the intervals of all its sets with enough images agree",
        numbers=tuple(_number(library, square) for square in (best, worst)),
        chart=draw_differences(drawn),
        about="Difference of KGT less SwinIR in PSNR, dB, of the farthest level of each task.",
        claims=tuple(claim for square in squares for _, claim in square.all),
    )


def _say_recipes(squares: list[Square]) -> str:
    """That both have one recipe, and where they have not."""
    unlike = {}
    for square in squares:
        records = records_of(square.claim.exhibit.records, square.tested)
        trained = {getattr(record.result, "trained", None) or "" for record in records}
        if len(trained) > 1:
            unlike[square.family] = " and ".join(sorted(trained))
    but = "".join(f"; {family}: {recipes}" for family, recipes in unlike.items())
    return f" and recipe{but}"


def _number(library: Library, square: Square) -> Number:
    tested = square.tested
    records = records_of(square.claim.exhibit.records, tested)
    where = f"{square.task} on {tested.found.ours.dataset}"
    return Number(format_db(square.mean), describe_ends(tested), where, records)


def records_of(records: Records, tested: Tested) -> tuple[Record, ...]:
    """The records that a comparison is made of."""
    return tuple(records[cell] for cell in tested.found.cells if cell in records)


def find_against_peer(library: Library) -> Finding | None:
    """How the shipped KGT for x4 compares with a peer of its size by its authors' weights."""
    exhibit = library.find("table", "8", "cpu")
    if exhibit is None:
        return None

    def fits(ours: Arm, theirs: Arm) -> bool:
        shipped = ours.recipe is None and theirs.recipe is None
        return shipped and (ours.model, theirs.model) == (_OURS, _PEER)

    tests = [Tested(found.where, found, 0.0, "") for found in compare_arms(exhibit.records, fits)]
    if not tests:
        return None
    largest = max(tests, key=lambda tested: tested.found.gain.images)
    gain = largest.found.gain
    behind = sum(side_of(tested) == "behind" for tested in tests)
    side = "lower" if gain.mean < 0 else "higher"
    sentence = (
        f"The KGT that ships scores {side} than SMFANet of its size with its authors' weights: "
        f"behind on {behind} of {len(tests)} sets."
    )
    return Finding(
        key="against-peer",
        question="Does KGT reach a peer of its size?",
        sentence=sentence,
        verdict=largest.verdict,
        why=f"one training of each; a verdict takes {MIN_SEEDS}. The peer trained far longer, "
        "on far more images",
        numbers=(
            Number(
                format_db(gain.mean),
                describe_ends(largest),
                largest.claim,
                records_of(exhibit.records, largest),
            ),
        ),
        chart=draw_differences([(t.found.ours.dataset, t) for t in tests]),
        about="Difference of kgt-tiny-x4 less smfanet-x4 in PSNR, dB, by set.",
    )
