import numpy as np
import pytest

from benchmarks.plan.specs import get_spec
from benchmarks.quality.calibration import Count
from benchmarks.records.result import Quantity
from benchmarks.report.claims import calibration
from benchmarks.report.claims.calibration import judge_calibration
from benchmarks.report.claims.training import (
    compare_with_swinir,
    judge_one_network_for_levels,
    judge_random_k,
    judge_selection,
    judge_shared_graph,
    judge_small_kgt_against_swinir,
    judge_windows,
    list_tested,
)
from benchmarks.report.plots import differences, draw_plot, method
from benchmarks.training.recipes import load_recipe
from tests.benchmarks.making import make_cell, make_record

NETWORK = "kgt-tiny-denoise-color"
REBUILT = f"{NETWORK}:graph_scope=layer"
SWINIR = "swinir-tiny-denoise-color"
S25 = "denoise-color-s25"
ONE = "study-denoise"
THREE = (1, 2, 3)


def quality(model, psnr, *, noise=0.01, images=20, status="ok", **fields):
    """A cell and its record, of images that all have nearly this PSNR."""
    fields = {"task": S25, "dataset": "CBSD68", "protocol": "p@1", "seed": 1, **fields}
    cell = make_cell("quality", model=model, **fields)
    rng = np.random.default_rng([ord(c) for c in cell.id])
    per_image = {
        str(image): {"psnr": psnr + image + noise * rng.standard_normal()}
        for image in range(images)
    }
    if status != "ok":
        return cell, make_record(cell, status=status)
    score = Quantity(value=psnr, unit="dB")
    trained = f"{fields.get('recipe', 'shipped')}@1"
    return cell, make_record(cell, psnr=score, per_image=per_image, trained=trained)


def train(model, psnr, recipe=ONE, *, seeds=THREE, spread=0.01, **fields):
    """Records of an arm whose seeds spread evenly around this PSNR."""
    steps = np.linspace(-spread, spread, len(seeds))
    return [
        quality(model, psnr + step, recipe=recipe, seed=seed, **fields)
        for seed, step in zip(seeds, steps, strict=True)
    ]


def judged(judge, *pairs):
    return {judgment.claim: judgment for judgment in judge(dict(pairs))}


def verdicts(judge, *pairs):
    return [judgment.verdict for judgment in judge(dict(pairs))]


@pytest.mark.parametrize(
    ("shared", "spread", "expected"),
    [
        (30.0, 0.01, "HOLDS"),
        (29.95, 0.01, "HOLDS"),
        (29.5, 0.01, "FAILS"),
        (29.9, 0.01, "UNCLEAR"),
        (30.0, 0.1, "UNCLEAR"),
        (29.5, 1.0, "UNCLEAR"),
    ],
)
def test_a_shared_graph_must_lose_nothing_beyond_what_seeds_do(shared, spread, expected):
    pairs = train(NETWORK, shared, spread=spread) + train(REBUILT, 30.0, spread=spread)
    assert verdicts(judge_shared_graph, *pairs) == [expected]


LARGE = f"{NETWORK}:level_windows=[32,16]"


def test_selections_are_compared_with_the_printed_one_with_controls_and_with_all_keys():
    arms = {
        LARGE: 30.0,
        f"{LARGE}:similarity=cosine": 30.2,
        f"{LARGE}:similarity=bilateral": 29.8,
        f"{LARGE}:similarity=nearest": 30.0,
        f"{LARGE}:similarity=random": 29.5,
        f"{LARGE}:k=1024": 30.1,
    }
    pairs = [pair for model, psnr in arms.items() for pair in train(model, psnr)]
    # Neither another number of keys, nor another network or recipe, nor another use is compared.
    pairs += train(f"{LARGE}:similarity=cosine:k=32", 35.0)
    pairs += train(f"{NETWORK}:similarity=cosine", 35.0)
    pairs += train(f"{LARGE}:similarity=cosine", 35.0, recipe="study-denoise-s25")
    pairs += train(f"{LARGE}:similarity=cosine", 35.0, k=256)
    end = ", small-scale: denoise-color-s25 on CBSD68"
    found = {c.removesuffix(end): j.verdict for c, j in judged(judge_selection, *pairs).items()}
    every = "better than all 1,024 of a window"
    assert found == {
        "C9 keys by dot restore better than as many by nearest": "UNCLEAR",
        "C9 keys by dot restore better than as many by random": "HOLDS",
        "C9 keys by cosine restore better than as many by dot": "HOLDS",
        "C9 keys by bilateral restore better than as many by dot": "FAILS",
        f"C9 64 keys by dot restore {every}": "FAILS",
        f"C9 64 keys by cosine restore {every}": "HOLDS",
        f"C9 64 keys by bilateral restore {every}": "FAILS",
        f"C9 64 keys by nearest restore {every}": "FAILS",
        f"C9 64 keys by random restore {every}": "FAILS",
        f"C9 32 keys by cosine restore {every}": "HOLDS",
    }
    assert verdicts(judge_selection) == ["NOT MEASURED"]


def test_windows_are_compared_where_nothing_else_differs():
    pairs = train(LARGE, 30.2) + train(NETWORK, 30.0) + train(f"{NETWORK}:k=32", 30.0)
    # Every key of each window: networks that differ in k as well.
    pairs += train(f"{LARGE}:k=1024", 29.7) + train(f"{NETWORK}:k=256", 30.0)
    found = {claim: judgment.verdict for claim, judgment in judged(judge_windows, *pairs).items()}
    claim = (
        "C5 windows of side 32 and 16 restore better than of 16 and 8, with {}, small-scale: "
        "denoise-color-s25 on CBSD68"
    )
    assert found == {claim.format("64 keys"): "HOLDS", claim.format("every key"): "FAILS"}
    assert verdicts(judge_windows) == ["NOT MEASURED"]


def test_another_seed_is_no_better_network():
    """The second seed wins on every image, and would by any interval over images alone."""
    pairs = [*train(NETWORK, 30.0, spread=0.13), *train(SWINIR, 30.05, spread=0.13)]
    (judgment,) = judge_small_kgt_against_swinir(dict(pairs))
    assert judgment.verdict == "UNCLEAR"
    assert "of the uncertainty from seeds" in judgment.evidence


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_fewer_than_three_seeds_are_shown_and_not_judged(seeds):
    pairs = train(NETWORK, 31.0, seeds=seeds) + train(REBUILT, 30.0, seeds=seeds)
    (judgment,) = judge_shared_graph(dict(pairs))
    each = "1 seed each" if len(seeds) == 1 else "2 seeds each"
    assert judgment.verdict == "UNCLEAR"
    assert f"dB, {each}, 20 images" in judgment.evidence
    assert judgment.evidence.endswith("; 3 seeds are needed")


def test_small_sets_are_shown_and_not_judged():
    pairs = train(NETWORK, 31.0, images=17) + train(REBUILT, 30.0, images=17)
    (judgment,) = judge_shared_graph(dict(pairs))
    assert judgment.verdict == "UNCLEAR"
    assert judgment.evidence.endswith("; limit -0.1 dB; 18 images are needed")


def test_claims_name_their_scale_and_depth_and_evidence_names_who_was_compared():
    pairs = train(NETWORK, 30.0, spread=0, noise=0) + train(REBUILT, 30.0, spread=0, noise=0)
    (judgment,) = judge_shared_graph(dict(pairs))
    assert judgment.claim == (
        "C3 sharing the graph over a stage of 2 layers loses no quality against one per layer, "
        "small-scale: denoise-color-s25 on CBSD68"
    )
    assert judgment.evidence == (
        "kgt-tiny-denoise-color (study-denoise@1, k = 64) less kgt-tiny-denoise-color:"
        "graph_scope=layer (study-denoise@1, k = 64): +0.000 dB [+0.000, +0.000], 3 seeds each, "
        "20 images; limit -0.1 dB"
    )
    deep = [
        *train(f"{NETWORK}:depths=[6,4]", 30.0),
        *train(f"{NETWORK}:depths=[6,4]:graph_scope=layer", 30.0),
    ]
    (judgment,) = judge_shared_graph(dict(deep))
    assert "a stage of 2 or 4 or 6 layers" in judgment.claim


def test_only_networks_on_the_same_images_are_compared():
    arm = train(NETWORK, 30.0)
    other_set = train(REBUILT, 20.0, dataset="McMaster")
    other_recipe = train(REBUILT, 20.0, "study-denoise-s25")
    failed = train(REBUILT, 20.0, status="failed")
    found = verdicts(judge_shared_graph, *arm, *other_set, *other_recipe, *failed)
    assert found == ["NOT MEASURED"]


def test_random_k_is_judged_at_every_k_and_against_every_fixed_one():
    pairs = [
        *train(NETWORK, 29.95, "study-denoise-k-random", k=16),
        *train(NETWORK, 30.0, "study-denoise-k-random", k=64),
        *train(NETWORK, 30.0, "study-denoise-k-random", k=256),
        *train(NETWORK, 28.0, "study-denoise-k-fixed", k=16),
        *train(NETWORK, 30.3, "study-denoise-k-fixed", k=256),
        *train(NETWORK, 30.2),
        *train(NETWORK, 29.0, "study-denoise-s25"),
    ]
    found = {
        claim.removesuffix(", small-scale: denoise-color-s25 on CBSD68"): judgment.verdict
        for claim, judgment in judged(judge_random_k, *pairs).items()
    }
    better = "C4 used with k = {}, a network trained with random k restores better than one {}"
    keeps = "C4 trained with random k, a network is nearly as good at k = {} as at k = 256"
    assert found == {
        better.format(16, "trained with k = 256"): "HOLDS",
        better.format(64, "trained with k = 64"): "FAILS",
        better.format(256, "trained with k = 256"): "FAILS",
        keeps.format(16): "HOLDS",
        keeps.format(64): "HOLDS",
        "C4 trained with k = 256, a network drops from there to k = 16": "HOLDS",
        "C4 a network trained and used with k = 64 is nearly as good as with k = 256": "UNCLEAR",
    }
    assert verdicts(judge_random_k) == ["NOT MEASURED"]


def test_two_uses_of_the_same_trainings_need_not_outdo_their_seeds():
    """Seeds spread by 1 dB, but what each loses with fewer keys is the same."""
    pairs = [
        *train(NETWORK, 28.0, "study-denoise-k-fixed", k=16, spread=1.0),
        *train(NETWORK, 30.0, "study-denoise-k-fixed", k=256, spread=1.0),
    ]
    (judgment,) = judge_random_k(dict(pairs))
    assert judgment.verdict == "HOLDS"
    assert "3 seeds, 20 images" in judgment.evidence


def test_one_network_for_all_levels_needs_as_many_patches_of_each():
    equal = [*train(NETWORK, 30.0), *train(NETWORK, 30.0, "study-denoise-s25:steps=500")]
    worse = [*train(NETWORK, 30.0), *train(NETWORK, 30.5, "study-denoise-s25:steps=500")]
    longer = [*train(NETWORK, 30.0), *train(NETWORK, 30.5, "study-denoise-s25")]
    assert verdicts(judge_one_network_for_levels, *equal) == ["HOLDS"]
    assert verdicts(judge_one_network_for_levels, *worse) == ["FAILS"]
    (judgment,) = judge_one_network_for_levels(dict(longer))
    assert judgment.verdict == "UNCLEAR"
    reason = "not comparable: 4,000 and 12,000 patches of the level in training"
    assert judgment.evidence.endswith(reason)
    other = [*train(NETWORK, 30.0), *train(NETWORK, 30.5, "study-denoise-s25:steps=500:lr=0.002")]
    assert verdicts(judge_one_network_for_levels, *other) == ["NOT MEASURED"]


def test_small_networks_are_compared_set_by_set_and_not_together():
    pairs = [
        cell
        for dataset, ours in (("CBSD68", 31.0), ("McMaster", 29.0))
        for model, psnr in ((NETWORK, ours), (SWINIR, 30.0))
        for cell in train(model, psnr, dataset=dataset)
    ]
    claim = "C7 KGT beats SwinIR at the same parameters, small-scale: denoise-color-s25 on"
    found = judged(judge_small_kgt_against_swinir, *pairs)
    assert {c: j.verdict for c, j in found.items()} == {
        f"{claim} CBSD68": "HOLDS",
        f"{claim} McMaster": "FAILS",
    }


def test_weights_that_ship_are_one_seed():
    pairs = [
        quality(f"{family}-tiny-deblur", psnr, task="deblur", noise=0, seed=seed)
        for family, psnr in (("kgt", 30.5), ("swinir", 30.0))
        for seed in (0, 1, 2)
    ]
    (judgment,) = judge_small_kgt_against_swinir(dict(pairs))
    assert judgment.verdict == "UNCLEAR"
    assert judgment.evidence == (
        "kgt-tiny-deblur (as it ships, shipped@1, k = 64) less swinir-tiny-deblur (as it ships, "
        "shipped@1): +0.500 dB, 1 seed each, 20 images; 3 seeds are needed"
    )


def test_color_networks_are_not_compared_on_gray_images():
    pairs = train(NETWORK, 31.0, task="denoise-gray-s25", dataset="BSD68") + train(
        SWINIR, 30.0, task="denoise-gray-s25", dataset="BSD68"
    )
    assert compare_with_swinir(dict(pairs)) == []
    gray = [
        record
        for model, psnr in ((f"{NETWORK}:in_channels=1", 31.0), (f"{SWINIR}:in_channels=1", 30.0))
        for record in train(model, psnr, task="denoise-gray-s25", dataset="BSD68")
    ]
    (found,) = compare_with_swinir(dict(gray))
    assert found.gain.mean == pytest.approx(1.0, abs=0.01)


def test_a_comparison_has_what_a_plot_draws():
    pairs = train(NETWORK, 31.0) + train(SWINIR, 30.0, seeds=(4, 5, 6, 7))
    (found,) = compare_with_swinir(dict(pairs))
    assert found.where == "denoise-color-s25 on CBSD68"
    assert (found.ours.model, found.theirs.model) == (NETWORK, SWINIR)
    assert found.gain.lo < found.gain.mean < found.gain.hi
    assert (found.gain.seeds, found.gain.images) == ((3, 4), 20)
    tested = list_tested(dict(pairs))
    assert [(own.found, own.verdict, own.at_least) for own in tested] == [(found, "HOLDS", 0.0)]


def test_trainings_alike_are_judged_alike(monkeypatch):
    pairs = train(NETWORK, 30.0, seeds=range(1, 13), spread=0.015)
    planted, apart = "3 seeds each show a difference of +0.1 dB", "between real trainings alike"
    simulated = "between equal arms the judge finds a difference in at most 1%"
    found = {c.removesuffix(" of cases"): j for c, j in judged(judge_calibration, *pairs).items()}
    assert {claim: judgment.verdict for claim, judgment in found.items()} == {
        simulated: "HOLDS",
        f"{planted} in 90%": "HOLDS",
        f"{apart} the judge finds one in at most 1%": "HOLDS",
    }
    assert "20 images; spread of 1 arm of 12 seeds: 0.0" in found[simulated].evidence
    assert (
        "pairs of 3 seeds each, which share 12 trainings" in next(reversed(found.values())).evidence
    )
    few = train(NETWORK, 30.0, seeds=(1, 2))
    assert len(judge_calibration(dict(few))) == 2
    assert verdicts(judge_calibration) == ["NOT MEASURED"]
    monkeypatch.setattr(
        calibration, "simulate", lambda *_, trials, **__: Count(trials // 50, trials)
    )
    assert verdicts(judge_calibration, *few)[0] == "FAILS"


def test_what_seeds_cannot_show_says_how_many_can():
    pairs = train(NETWORK, 30.0, seeds=range(1, 5), spread=0.06)
    _, planted = judge_calibration(dict(pairs))
    assert planted.verdict == "FAILS"
    assert "seeds each show it in 9" in planted.evidence
    assert "share of +0.1 dB that is found" in draw_plot("calibration", "title", dict(pairs))
    assert "nothing measured" in draw_plot("calibration", "title", {})


def test_the_studies_train_by_recipes_that_exist():
    cells = get_spec("method", kind="study").profiles["cpu"].cells()
    trainings = {(cell.model, cell.recipe, cell.seed) for cell in cells}
    assert len(trainings) == 16
    alike = get_spec("judge", kind="study").profiles["cpu"].cells()
    assert len({cell.seed for cell in alike}) == len(alike) == 12
    assert {load_recipe(cell.recipe).steps for cell in (*cells, *alike)} == {1500, 400}


def draw_markers(figure):
    """The places of all means, by whether they are filled."""
    dots = [line for axis in figure.axes for line in axis.lines if line.get_marker() == "o"]
    return {float(line.get_xdata()[0]): line.get_markerfacecolor() != "white" for line in dots}


def test_a_forest_plot_has_a_dot_per_difference_which_is_hollow_without_seeds():
    seeded = train(NETWORK, 30.5) + train(REBUILT, 30.0)
    lone = train(SWINIR, 30.0, task="denoise-color-s50", seeds=(1,))
    lone += train(NETWORK, 30.25, task="denoise-color-s50", seeds=(1,))
    figure = differences.draw(dict(seeded + lone))
    found = draw_markers(figure)
    assert sorted(found) == pytest.approx([0.25, 0.5], abs=0.02)
    assert found == {min(found): False, max(found): True}
    texts = [label.get_text() for axis in figure.axes for label in axis.get_yticklabels()]
    assert any("on CBSD68" in text for text in texts)
    # A panel per claim, so that a large difference does not hide a small one.
    assert len([axis for axis in figure.axes if axis.lines]) == 2


def test_keys_are_drawn_against_psnr_with_a_band_over_seeds():
    pairs = []
    for recipe, gain in ((f"{ONE}-k-random", 0.0), (f"{ONE}-k-fixed", -1.0)):
        for k in (16, 256):
            pairs += train(NETWORK, 30 + gain + k / 256, recipe=recipe, k=k, spread=0.2)
    axis = method.draw(dict(pairs)).axes[0]
    assert [list(line.get_xdata()) for line in axis.lines] == [[16, 256]] * 2
    assert axis.lines[0].get_ydata() == pytest.approx([30.0625, 31.0])
    lowest = axis.collections[0].get_paths()[0].vertices[:, 1].min()
    assert lowest == pytest.approx(30.0625 - 0.2)
    assert "3 seeds" in axis.get_legend().get_texts()[0].get_text()
