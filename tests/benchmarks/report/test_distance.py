"""Claims on twin patches: who finds the twin, and whether selected keys win anywhere."""

import numpy as np
import pytest

from benchmarks.data.twins import DISTANCES, DISTRACTORS, TESTS
from benchmarks.plan.specs import get_spec
from benchmarks.records.result import Quantity
from benchmarks.report.claims import answer_study
from benchmarks.report.claims.distance import judge_distance, list_found
from benchmarks.report.plots import distance as plot
from benchmarks.report.plots import draw_plot
from benchmarks.training.recipes import load_recipe
from tests.benchmarks.making import make_record

SPEC = get_spec("distance", kind="study")
CELLS = SPEC.profiles["cpu"].cells()
NOISY = 24.61


def keys_of(cell):
    fields = cell.described.fields
    return "all" if fields["k"] > 16 else fields.get("similarity", "dot")


def make_records(gains, *, seeds=(1, 2, 3), spread=0.02, images=18, window=None):
    """Records of the study, in which each cell gains `gains(keys, distance, distractors)`."""
    records = {}
    for cell in CELLS:
        if cell.seed not in seeds or window not in (None, cell.described.fields["window"]):
            continue
        rng = np.random.default_rng([ord(c) for c in cell.id])
        mean = gains(keys_of(cell), *TESTS[cell.dataset]) + spread * (cell.seed - 2)
        samples = tuple(mean + 0.02 * rng.standard_normal(images))
        records[cell] = make_record(
            cell,
            psnr=Quantity(value=NOISY + mean, unit="dB"),
            gain=Quantity(value=float(np.mean(samples)), lo=mean - 1, hi=mean + 1, samples=samples),
            per_image={str(n): {"psnr": NOISY + own} for n, own in enumerate(samples)},
            trained="study-distance@1",
        )
    return records


def find(keys, distance, distractors):
    """Cosine finds every twin, dot near ones, dense among few; the controls find none."""
    found = {
        "cosine": True,
        "dot": distance <= 16,
        "all": distractors == 0,
    }.get(keys, False)
    return (3.2 if distance < 48 or distractors < 62 else 2.4) if found else 0.5


def verdicts(records):
    first, *others = judge_distance(records)
    return first, {judgment.claim: judgment.verdict for judgment in others}


def test_the_study_has_every_arm_at_every_place():
    arms = {(keys_of(c), c.described.fields["window"]) for c in CELLS}
    assert arms == {
        (keys, window)
        for keys in ("dot", "cosine", "nearest", "random", "all")
        for window in (8, 16, 32)
    }
    assert len(CELLS) == len(arms) * 3 * len(DISTANCES) * len(DISTRACTORS)
    fields = [cell.described.fields for cell in CELLS]
    # Nothing reaches beyond a window but the convolutions, and a patch is a whole image.
    assert {f["window_offset"] for f in fields} == {"none"}
    assert {f["k"] for f in fields if f["window"] == 32} == {16, 1024}
    recipe = load_recipe("study-distance")
    assert (recipe.patch, recipe.datasets, recipe.held_out) == (128, ("twins",), 12)


def test_each_selection_is_judged_at_each_place_of_the_largest_window():
    _, found = verdicts(make_records(find))
    assert len(found) == 5 * 12
    claim = (
        "C9-distance a twin at distance {} among {} distractors is found by {} in windows of "
        "32x32 tokens, small-scale"
    )
    for distance in DISTANCES:
        for distractors in DISTRACTORS:
            for keys in ("cosine", "dot", "nearest", "random"):
                limit = find(keys, distance, distractors) > 2
                expected = "HOLDS" if limit else "FAILS"
                assert found[claim.format(distance, distractors, f"keys by {keys}")] == expected
    assert found[claim.format(8, 0, "every key")] == "HOLDS"
    assert found[claim.format(8, 14, "every key")] == "FAILS"


def test_half_of_what_a_twin_allows_is_the_limit():
    (one, *_) = list_found(make_records(lambda *_: 1.9384))
    # (0.57143 + 3.30541) / 2
    assert one.limit == pytest.approx(1.93842, abs=1e-4)
    assert one.verdict == "UNCLEAR"


def test_a_win_takes_two_places_and_all_rivals():
    first, _ = verdicts(make_records(find))
    assert first.verdict == "HOLDS"
    assert first.evidence.startswith(
        "8 of 12 places won, 4 undecided: dot and cosine at distance 8 among 14"
    )
    once = lambda keys, *place: 3.0 if keys == "cosine" and place == (32, 14) else 1.0  # noqa: E731
    first, _ = verdicts(make_records(once))
    assert first.verdict == "UNCLEAR"
    rivals = lambda keys, *_: 3.0 if keys in ("cosine", "nearest") else 1.0  # noqa: E731
    first, _ = verdicts(make_records(rivals))
    assert first.verdict == "UNCLEAR"
    assert first.evidence.startswith("0 of 12 places won, 12 undecided")


def test_selections_that_win_nowhere_are_said_to_in_the_first_sentence():
    records = make_records(lambda keys, *_: 3.0 if keys == "all" else 1.0)
    first, _ = verdicts(records)
    assert first.verdict == "FAILS"
    answer = answer_study(SPEC, records)
    assert answer.startswith("Selected keys win nowhere (0 of 12 places won). ")
    assert "dot anywhere; cosine anywhere; nearest anywhere" in answer
    assert answer.endswith("every key nowhere.")


def test_the_answer_names_where_each_selection_fails():
    answer = answer_study(SPEC, make_records(find))
    assert answer.startswith(
        "Selected keys restore better than nearest, random and every key (8 of 12"
    )
    assert "dot at 32/0, 32/14, 32/62, 48/0, 48/14, 48/62; cosine nowhere;" in answer


def test_without_seeds_or_images_nothing_is_decided():
    for few in ({"seeds": (1, 2)}, {"images": 17}):
        first, found = verdicts(make_records(find, **few))
        assert {first.verdict, *found.values()} == {"UNCLEAR"}
    assert [j.verdict for j in judge_distance({})] == ["NOT MEASURED"]
    assert answer_study(SPEC, {}) == "Not measured yet."


def test_a_plot_has_a_panel_per_window_and_number_of_distractors():
    figure = plot.draw(make_records(find))
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [
        f"{n} distractors, windows of {w}x{w}" for w in (32, 16, 8) for n in (0, 14, 62)
    ]
    lines = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [list(line.get_xdata()) for line in lines] == [[8, 16, 32, 48]] * 5
    assert lines[0].get_ydata() == pytest.approx([3.2, 3.2, 0.5, 0.5], abs=0.02)
    best, alone = figure.axes[2].lines[-2:]
    assert best.get_ydata() == pytest.approx([3.305, 3.305, 3.305, 2.445], abs=1e-3)
    assert alone.get_ydata() == pytest.approx([0.571] * 4, abs=1e-3)
    few = make_records(find, seeds=(1,), window=32)
    assert len(plot.draw(few).axes) == 3
    assert "optimum" in draw_plot("distance", "t", few)
    assert "nothing measured" in draw_plot("distance", "t", {})
