import numpy as np
import pytest

from benchmarks.plan.specs import get_spec
from benchmarks.records.result import Quantity
from benchmarks.report.claims.training import (
    judge_one_network_for_levels,
    judge_random_k,
    judge_shared_graph,
    judge_small_kgt_against_swinir,
)
from benchmarks.training.recipes import list_recipes
from tests.benchmarks.making import make_cell, make_record

NETWORK = "kgt-tiny-denoise-color"
REBUILT = f"{NETWORK}:graph_scope=layer"
S25 = "denoise-color-s25"


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
    return cell, make_record(cell, psnr=Quantity(value=psnr, unit="dB"), per_image=per_image)


def verdicts(judge, *pairs):
    return [judgment.verdict for judgment in judge(dict(pairs))]


@pytest.mark.parametrize(
    ("shared", "expected"),
    [
        ((30.0, 30.0), "HOLDS"),
        ((29.5, 29.5), "FAILS"),
        ((30.0, 29.5), "FAILS"),
        ((29.9, 30), "UNCLEAR"),
    ],
)
def test_a_shared_graph_must_lose_nothing_with_any_seed(shared, expected):
    pairs = [
        quality(model, psnr, recipe="study-denoise", seed=seed)
        for seed, own in zip((1, 2), shared, strict=True)
        for model, psnr in ((NETWORK, own), (REBUILT, 30.0))
    ]
    assert verdicts(judge_shared_graph, *pairs) == [expected]


def test_evidence_names_set_seed_interval_and_images():
    pairs = [quality(model, 30.0, recipe="study-denoise", noise=0) for model in (NETWORK, REBUILT)]
    (judgment,) = judge_shared_graph(dict(pairs))
    assert judgment.evidence == (
        "limit -0.1 dB; denoise-color-s25 on CBSD68, seed 1: +0.000 dB [+0.000, +0.000], 20 images"
    )


def test_only_networks_on_the_same_images_are_compared():
    lone = quality(NETWORK, 30.0, recipe="study-denoise")
    other_seed = quality(REBUILT, 20.0, recipe="study-denoise", seed=2)
    other_set = quality(REBUILT, 20.0, recipe="study-denoise", dataset="McMaster")
    failed = quality(REBUILT, 20.0, recipe="study-denoise", status="failed")
    assert verdicts(judge_shared_graph, lone, other_seed, other_set, failed) == ["NOT MEASURED"]


def test_random_k_is_judged_at_the_fewest_keys():
    def trained(recipe, few, many):
        return [
            quality(NETWORK, psnr, recipe=f"study-denoise-k-{recipe}", k=k)
            for k, psnr in ((16, few), (64, many), (256, many))
        ]

    printed = [*trained("random", 29.95, 30.0), *trained("fixed", 28.0, 30.1)]
    assert verdicts(judge_random_k, *printed) == ["HOLDS", "HOLDS", "HOLDS"]
    opposite = [*trained("random", 29.0, 30.0), *trained("fixed", 30.0, 30.05)]
    assert verdicts(judge_random_k, *opposite) == ["FAILS", "FAILS", "FAILS"]
    assert verdicts(judge_random_k) == ["NOT MEASURED"]


def test_one_network_for_all_levels_is_compared_with_that_of_each():
    pairs = []
    for level, single in (("s15", 34.02), ("s25", 31.0), ("s50", 28.0)):
        fields = {"task": f"denoise-color-{level}"}
        one = single - (0.02 if level != "s50" else 0.5)
        pairs.append(quality(NETWORK, one, recipe="study-denoise", **fields))
        pairs.append(quality(NETWORK, single, recipe=f"study-denoise-{level}", **fields))
    assert verdicts(judge_one_network_for_levels, *pairs[:4]) == ["HOLDS"]
    assert verdicts(judge_one_network_for_levels, *pairs) == ["FAILS"]


def test_small_networks_are_compared_task_by_task_and_together():
    pairs = [
        quality(f"{family}-tiny-{task}", psnr, task=task, dataset="Set5")
        for task, ours in (("deblur", 31.0), ("demosaic", 29.0))
        for family, psnr in (("kgt", ours), ("swinir", 30.0))
    ]
    assert verdicts(judge_small_kgt_against_swinir, *pairs[:2]) == ["HOLDS", "HOLDS"]
    assert verdicts(judge_small_kgt_against_swinir, *pairs) == ["HOLDS", "FAILS", "FAILS"]


def test_weights_that_ship_have_no_seed_to_tell():
    pairs = [
        quality(f"{family}-tiny-deblur", psnr, task="deblur", noise=0)
        for family, psnr in (("kgt", 30.5), ("swinir", 30.0))
    ]
    judgment, _ = judge_small_kgt_against_swinir(dict(pairs))
    assert judgment.evidence == "deblur on CBSD68: +0.500 dB [+0.500, +0.500], 20 images"


def test_the_study_trains_by_recipes_that_exist():
    cells = get_spec("method", kind="study").profiles["cpu"].cells()
    assert {cell.recipe for cell in cells} <= set(list_recipes())
    trainings = {(cell.model, cell.recipe, cell.seed) for cell in cells}
    assert len(trainings) == 16
