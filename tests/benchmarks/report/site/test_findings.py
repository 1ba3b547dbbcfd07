from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.quality.seeds import MIN_SEEDS, SeededGain
from benchmarks.report.claims import training
from benchmarks.report.comparisons import Comparison
from benchmarks.report.site.findings.finding import MOST_WORDS, draw_differences
from benchmarks.report.site.findings.method import (
    find_controls,
    find_selection,
    find_similarity,
)
from benchmarks.report.site.findings.speed import find_speed_on_gpu
from benchmarks.report.site.library import load_library
from benchmarks.report.site.scoreboard import list_squares
from tests.benchmarks.making import make_cell

RESULTS = Path(__file__).parents[4] / "results"


def _test(dataset, ends, images=68, seeds=1, recipe=None):
    """A comparison whose interval over images has these ends."""
    arms = [
        make_cell("quality", model=f"{family}-tiny-x4", dataset=dataset, recipe=recipe)
        for family in ("kgt", "swinir")
    ]
    over = ends if seeds >= MIN_SEEDS else (None, None)
    gain = SeededGain(sum(ends) / 2, *over, ends, (seeds, seeds), images, {})
    found = Comparison(*arms, ("kgt", "swinir"), gain, f"sr-x4 on {dataset}", ())
    return training.Tested(f"{training.BEATS_SWINIR} ({dataset})", found, 0.0, "")


def _by(similarity, claim, ends, seeds=MIN_SEEDS, other="dot"):
    """A comparison of keys by one similarity and another."""
    test = _test("A", ends, seeds=seeds)
    ours, theirs = (
        test.found.ours.model_copy(update={"model": f"kgt-tiny:similarity={name}"})
        for name in (similarity, other)
    )
    return test._replace(claim=claim, found=replace(test.found, ours=ours, theirs=theirs))


def _find(rule, *tests):
    shown = SimpleNamespace(exhibit=SimpleNamespace(records={}))
    return rule(SimpleNamespace(tests=[(test, shown) for test in tests]))


def _square(*tests):
    (square,) = list_squares(SimpleNamespace(tests=[(test, None) for test in tests]))
    return square


@pytest.mark.parametrize(
    ("tests", "side", "count"),
    [
        ([_test("A", (0.1, 0.2)), _test("B", (0.01, 0.02))], "ahead", "2 of 2"),
        ([_test("A", (0.1, 0.2)), _test("B", (-0.01, 0.02))], "even", "1 of 2"),
        ([_test("A", (-0.2, -0.1)), _test("B", (-0.2, -0.1))], "behind", "0 of 2"),
        ([_test("A", (0.1, 0.2)), _test("Five", (-9, 1), images=5)], "ahead", "1 of 1"),
        ([_test("Five", (-9, 1), images=5)], "even", "0 of 1"),
        ([_test("A", (0.1, 0.2)), _test("B", (-2, -1), recipe="study")], "ahead", "1 of 1"),
    ],
)
def test_a_task_is_won_where_all_sets_that_may_be_judged_agree(tests, side, count):
    square = _square(*tests)
    assert (square.side, square.count) == (side, count)
    assert [tested for tested, _ in square.all] == tests


def test_what_ships_is_shown_until_a_study_has_seeds_enough():
    ships = _test("A", (-0.1, 0.1), images=20)
    study = _test("A", (0.1, 0.2), images=99, seeds=MIN_SEEDS - 1, recipe="study")
    assert _square(study, ships).tested is ships
    judged = _test("A", (0.1, 0.2), images=20, seeds=MIN_SEEDS, recipe="study")
    assert _square(ships, judged).tested is judged


@pytest.mark.parametrize(
    ("cosine", "verdict", "said"),
    [
        (
            (0.1, 0.2),
            "HOLDS",
            "by up to +0.15 dB against as many by dot product: better in all 1 cases",
        ),
        (
            (-0.1, 0.2),
            "UNCLEAR",
            "by up to +0.05 dB against as many by dot product: ahead in 1 of 1 cases, decided in 0",
        ),
        ((-0.2, -0.1), "FAILS", "ahead in 0 of 1 cases, not all"),
    ],
)
def test_selections_that_look_at_no_token_do_not_decide_about_others(cosine, verdict, said):
    finding = _find(
        find_similarity,
        *(
            _by(name, f"C9 keys by {name} restore better than as many by dot", ends)
            for name, ends in (("cosine", cosine), ("random", (-0.9, -0.8)))
        ),
    )
    assert finding.verdict == verdict
    assert finding.sentence.startswith("Keys by cosine change")
    assert said in finding.sentence
    assert len(finding.sentence.split()) <= MOST_WORDS


def test_a_finding_of_several_cases_says_in_how_many_it_is_decided():
    tests = [
        _test(name, ends, seeds=MIN_SEEDS)._replace(claim="C9 64 keys restore better than all")
        for name, ends in (("A", (0.1, 0.2)), ("B", (-0.1, 0.2)), ("C", (-0.3, 0.1)))
    ]
    finding = _find(find_selection, *tests)
    assert finding.verdict == "UNCLEAR"
    assert "in 2 of 3 cases, decided in 1; best by dot" in finding.sentence
    assert len(finding.sentence.split()) <= MOST_WORDS


@pytest.mark.parametrize(
    ("ends", "verdict", "said"),
    [
        (((0.1, 0.2), (0.3, 0.4)), "HOLDS", "better than as many nearest or random ones in all 2"),
        (((0.1, 0.2), (-0.1, 0.2)), "UNCLEAR", "in 2 of 2 cases, decided in 1."),
        (((0.1, 0.2), (-0.3, -0.1)), "FAILS", "do not always restore better"),
    ],
)
def test_keys_that_are_selected_are_held_against_those_that_look_at_no_token(ends, verdict, said):
    finding = _find(
        find_controls,
        *(
            _by("dot", f"C9 keys by dot restore better than as many by {name}", each, other=name)
            for name, each in zip(("nearest", "random"), ends, strict=True)
        ),
        _by("cosine", "C9 keys by cosine restore better than as many by dot", (-9, -8)),
    )
    assert finding.verdict == verdict
    assert said in finding.sentence
    assert len(finding.sentence.split()) <= MOST_WORDS
    assert finding.numbers[0].label.startswith(("nearest, A", "random, A"))


def test_neither_controls_nor_what_has_too_few_seeds_is_called_the_best_selection():
    claim = "C9 64 keys restore better than all"
    finding = _find(
        find_selection,
        _by("dot", claim, (0.1, 0.2)),
        _by("cosine", claim, (0.2, 0.3)),
        _by("correlation", claim, (0.8, 0.9), seeds=1),
        _by("random", claim, (0.9, 1.0)),
    )
    assert finding.verdict == "UNCLEAR"
    assert finding.sentence.endswith("in 3 of 3 cases, decided in 2; best by cosine.")
    assert finding.numbers[0].text == "+0.25 dB"


def test_a_verdict_against_us_shows_the_number_that_fails():
    claim = "C9 64 keys restore better than all"
    finding = _find(
        find_selection,
        *(_by("dot", claim, ends) for ends in ((0.2, 0.3), (-0.1, 0.2), (-0.2, -0.1))),
    )
    assert finding.verdict == "FAILS"
    assert [number.text for number in finding.numbers] == ["+0.25 dB", "\N{MINUS SIGN}0.15 dB"]


def test_differences_share_a_scale_and_what_lies_beyond_ends_in_an_arrow():
    drawn = draw_differences([("far", _test("A", (-3, 0.3))), ("near", _test("B", (0.1, 0.2)))])
    rows = drawn.to_dict()["layer"][1]["data"]["values"]
    assert [(row["low"], row["high"], row["left"], row["right"]) for row in rows] == [
        (-1.5, 0.3, True, False),
        (0.1, 0.2, False, False),
    ]


def test_a_loss_in_small_windows_does_not_hide_a_win_in_large_ones():
    numbers = find_speed_on_gpu(load_library(RESULTS)).numbers
    first, *_, last = numbers
    assert "N = 1,024" in first.label
    assert "N = 8,192" in last.label
    assert float(first.text.split()[0]) > 1 > float(last.text.split()[0])
    assert len(last.records) == 2
    assert all("H100" in number.machines for number in numbers)
