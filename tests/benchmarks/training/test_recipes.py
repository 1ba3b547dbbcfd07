import pytest
import torch
from pydantic import ValidationError

from benchmarks.data.datasets import load_dataset
from benchmarks.tasks import TASKS
from benchmarks.training.data import split_images
from benchmarks.training.loop import run_folder
from benchmarks.training.recipes import Recipe, list_recipes, load_recipe
from tests.benchmarks.training.mini import FIELDS, MINI, change


def test_every_recipe_names_what_exists():
    assert "sr-smoke" in list_recipes()
    for name in list_recipes():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert set(recipe.tasks) <= set(TASKS)
        if recipe.datasets == ("embedded",):
            assert set(recipe.images) <= set(load_dataset("embedded", split="train").paths)


def test_unknown_recipe_lists_the_valid_names():
    with pytest.raises(ValueError, match=r"'sr-smoker'.*sr-smoke"):
        load_recipe("sr-smoker")
    with pytest.raises(ValueError, match="'x'; valid: the path of a YAML file, paper-"):
        load_recipe("x")
    with pytest.raises(ValueError, match=r"no recipe 'absent\.yaml'; name a file"):
        load_recipe("absent.yaml")


@pytest.mark.parametrize(
    "fields",
    [
        {"split": "test"},
        {"steps": 0},
        {"optimizer": "sgd"},
        {"schedule": "step"},
        {"schedule": (0.5, 1.5)},
        {"k": ()},
        {"k": 0},
        {"name": "a/b"},
        {"warmup": 1},
        {"tasks": []},
        {"loss": "l2"},
        {"ema": 1.0},
        {"seed": 2**63},
        {"precision": "float16"},
    ],
)
def test_invalid_recipes_are_refused(fields):
    with pytest.raises(ValidationError, match=next(iter(fields))):
        change(**fields)


def test_digest_covers_the_content():
    digests = {
        change(**fields).digest
        for fields in (
            {},
            {"version": 2},
            {"lr": 2e-3},
            {"k": 4},
            {"k": (4, 8)},
            {"images": ["moon"]},
            {"schedule": (0.5,)},
            {"clip_grad_norm": None},
            {"start": "nearest"},
            {"ema": 0.9},
            {"tasks": ["deblur"]},
            {"loss": "psnr"},
            {"loss": "charbonnier"},
            {"precision": "bfloat16"},
        )
    }
    assert len(digests) == 14
    traceless = change(checkpoint_every_s=9, validate_every=7)
    assert traceless.digest == MINI.digest
    assert Recipe(**FIELDS).digest == MINI.digest
    assert MINI.replace(steps=13).digest == MINI.digest != MINI.replace(steps=14).digest


@pytest.mark.parametrize("schedule", ["cosine", (0.5, 0.8, 0.9)])
def test_schedule_is_that_of_torch(schedule):
    recipe = change(steps=40, schedule=schedule, warmup=0)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=recipe.lr)
    schedulers = torch.optim.lr_scheduler
    scheduler = (
        schedulers.CosineAnnealingLR(optimizer, 40)
        if schedule == "cosine"
        else schedulers.MultiStepLR(optimizer, [int(40 * part) for part in schedule], gamma=0.5)
    )
    for step in range(40):
        assert recipe.learning_rate(step) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


def test_warmup_is_linear():
    recipe = change(steps=100, warmup=0.1, schedule=(0.9,))
    rates = [recipe.learning_rate(step) for step in range(11)]
    assert rates == pytest.approx([*(1e-4 * n for n in range(1, 11)), 1e-3])


# Recipes by which weights and records were made that name them.
DIGESTS = {
    "paper-deblur@1": "90d6d4849f86",
    "paper-demosaic@1": "d0a7a72a9658",
    "paper-denoise-color@1": "73a974db966b",
    "paper-denoise-gray@1": "27affa9adbb5",
    "paper-jpeg-color@1": "4307df1df19b",
    "paper-jpeg-gray@1": "308667708b3c",
    "paper-sr-x2@1": "08f16e91a95f",
    "paper-sr-x3@1": "54383fdb33ee",
    "paper-sr-x4@1": "acd28f17ce45",
    "paper-weather@1": "7f262bebe1f7",
    "sr-smoke@1": "81286adea2a1",
}


def test_a_recipe_that_is_named_by_weights_and_records_keeps_its_digest():
    recipes = [load_recipe(name) for name in list_recipes()]
    digests = {f"{recipe.name}@{recipe.version}": recipe.digest for recipe in recipes}
    assert digests.items() >= DIGESTS.items()


def test_fields_of_a_recipe_are_changed_after_its_name(tmp_path):
    plain, changed = load_recipe("small-sr-x4"), load_recipe("small-sr-x4:lr=3e-4:k=[4,8]")
    assert (changed.name, changed.lr, changed.k) == ("small-sr-x4:lr=3e-4:k=[4,8]", 3e-4, (4, 8))
    assert changed.replace(name=plain.name, lr=plain.lr, k=plain.k) == plain
    assert changed.digest != plain.digest
    folders = {run_folder("m", recipe, tmp_path).name for recipe in (plain, changed)}
    assert folders == {"m--small-sr-x4--seed1234", "m--small-sr-x4-lr-3e-4-k-4-8--seed1234"}
    for wrong in ("small-sr-x4:lr", "small-sr-x4:rate=1", "small-sr-x4:lr=-1", "small:lr=1"):
        with pytest.raises(ValueError, match=r"lr|rate|recipe"):
            load_recipe(wrong)


def test_excluded_images_are_neither_trained_on_nor_held_out():
    recipe = load_recipe("sr-smoke").replace(held_out=2)
    trained, held_out = split_images(recipe)
    last, first = list(held_out[0].paths)[-1], next(iter(trained[0].paths))
    trained, held_out = split_images(recipe.replace(exclude=[first, last]))
    assert len(held_out[0]) == 2
    assert not {first, last} & {*trained[0].paths, *held_out[0].paths}
    with pytest.raises(ValueError, match="no image nowhere"):
        split_images(recipe.replace(exclude=["nowhere"]))


@pytest.mark.parametrize(
    "name", [name for name in list_recipes() if "BSDS500" in load_recipe(name).datasets]
)
def test_no_recipe_trains_on_an_image_that_is_known_to_be_a_test_image(name):
    assert {"12003", "302003"} <= {*load_recipe(name).exclude}


@pytest.mark.parametrize(
    "task", ["denoise-color", "jpeg-color", "sr-x4", "demosaic", "deblur", "weather"]
)
def test_variants_of_printed_recipes_differ_in_k_alone(task):
    base = load_recipe(f"paper-{task}")
    for variant, k in (("random-k", (64, 128, 192, 256, 384, 512)), ("fixed-512", 512)):
        recipe = load_recipe(f"paper-{task}-{variant}")
        assert recipe.find_differences(base) == {"k"}
        assert recipe.k == k
