"""The weights that come with the packages, and the cards beside them."""

from dataclasses import replace

import pytest

import baselines
import kgt
from baselines import registry
from benchmarks.data.datasets import load_dataset
from benchmarks.models import create_for_task
from benchmarks.quality import evaluate, paired_gain
from benchmarks.tasks import get_task
from benchmarks.training import cards
from benchmarks.training.recipes import load_recipe
from benchmarks.training.state import digest_weights

# A recipe of the networks that ship, and one of its tasks.
RECIPES = {
    "small-sr-x4": "sr-x4",
    "small-denoise-color": "denoise-color-s25",
    "small-jpeg-color": "jpeg-color-q10",
    "small-demosaic": "demosaic",
    "small-deblur": "deblur",
    "small-weather": "weather-rain",
}
# Learning rates that differ from the recipe's, by the study `rates`.
RATES = {"swinir-tiny-weather": "lr=0.0005"}
FAMILIES = ("kgt-tiny", "swinir-tiny")


def name_of(family, recipe):
    return f"{family}-{recipe.removeprefix('small-').removeprefix('sr-')}"


# Of deblurring, those that see a blind deconvolution beside their input ship, too.
DECONVOLVED = {
    f"deconvolved-{name_of(family, 'small-deblur')}": "small-deblur" for family in FAMILIES
}
NETWORKS = {name_of(f, recipe): recipe for f in FAMILIES for recipe in RECIPES} | DECONVOLVED


def weights_of(name):
    return cards.shipped_log(name).with_suffix(".safetensors")


def test_no_other_weights_ship():
    shipped = {*kgt.list_models(pretrained=True), *baselines.list_models(pretrained=True)}
    assert shipped >= NETWORKS.keys()
    assert shipped - NETWORKS.keys() == registry._WEIGHTS.keys()  # published by others, and fetched


@pytest.mark.parametrize(("name", "recipe"), NETWORKS.items())
def test_card_log_and_weights_are_of_the_recipe(name, recipe):
    trained_by = load_recipe(f"{recipe}:{RATES[name]}" if name in RATES else recipe)
    weights = weights_of(name)
    assert weights.stat().st_size <= 2 * 2**20
    network = create_for_task(name, {}, pretrained=True)
    metadata = network.provenance
    card = weights.with_suffix(".md").read_text()
    assert metadata["recipe"] == f"{trained_by.name}@{trained_by.version}"
    assert metadata["recipe_digest"] == trained_by.digest
    assert "made by an older recipe" not in card
    assert f"digest {metadata['recipe_digest']}" in card
    assert f"digest {digest_weights(network)[:12]}" in card
    assert f"{sum(p.numel() for p in network.parameters()):,} parameters" in card
    assert ("first step, `prepare` of `baselines.deconvolved.Deconvolved`" in card) == (
        name in DECONVOLVED
    )
    assert weights.with_suffix(".svg").read_text().startswith("<?xml")
    steps = [row.split(",")[0] for row in cards.shipped_log(name).read_text().splitlines()[1:]]
    assert [int(step) for step in steps] == sorted(map(int, steps))
    assert steps[-1] == metadata["steps"] == str(trained_by.steps)


@pytest.mark.parametrize("recipe", RECIPES)
def test_kgt_and_swinir_saw_the_same_images(recipe):
    ours, theirs = (
        create_for_task(name_of(family, recipe), {}, pretrained=True).provenance
        for family in FAMILIES
    )
    assert ours["data_digest"] == theirs["data_digest"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "recipe"), NETWORKS.items())
def test_photographs_that_no_training_saw_are_restored_better_than_by_the_reference(name, recipe):
    task = get_task(RECIPES[recipe])
    embedded = load_dataset("embedded")
    photographs = replace(embedded, paths={n: embedded.paths[n] for n in ("chelsea", "coffee")})
    own, plain = (
        evaluate(create_for_task(model, task.conditions, pretrained=True).eval(), task, photographs)
        for model in (name, task.reference)
    )
    assert paired_gain(own, plain).wins == 2
