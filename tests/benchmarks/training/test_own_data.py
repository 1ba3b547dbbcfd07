"""Trainings on folders of one's own."""

import json
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image

import kgt
from baselines import load_checkpoint
from benchmarks.data.manifest import MANIFEST, Split
from benchmarks.training.data import PatchSampler
from benchmarks.training.loop import train
from benchmarks.training.recipes import load_recipe
from tests.benchmarks.training.mini import FIELDS


def write_recipe(folder, *datasets, **fields):
    folder.mkdir(parents=True, exist_ok=True)
    content = {**FIELDS, "images": [], "steps": 2, "datasets": [*datasets], **fields}
    (folder / "my.yaml").write_text(yaml.safe_dump(content))
    return str(folder / "my.yaml")


def draw(path, size=(40, 44), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def own(tmp_path):
    """A folder of twelve pictures beside a recipe that names it."""
    for seed in range(12):
        draw(tmp_path / "work" / "photos" / f"{seed}.png", seed=seed)
    return tmp_path / "work"


def test_a_folder_is_found_beside_the_recipe_wherever_one_stands(own, monkeypatch):
    recipe = load_recipe(write_recipe(own, {"folder": "photos"}))
    monkeypatch.chdir("/")
    batch, _ = PatchSampler(recipe)[0]
    assert batch.shape == (1, 3, 16, 16)
    moved = shutil.copytree(own, own.parent / "moved")
    again = load_recipe(str(moved / "my.yaml"))
    assert again.digest == recipe.digest
    assert PatchSampler(again).digest == PatchSampler(recipe).digest
    draw(moved / "photos" / "3.png", seed=99)
    assert PatchSampler(again).digest != PatchSampler(recipe).digest


def test_a_training_on_own_pictures_says_on_which(own, tmp_path, caplog):
    recipe = load_recipe(write_recipe(own, {"folder": "photos"}, held_out=2))
    draw(own / "photos" / "0-small.png", (20, 20))
    result = train("kgt-tiny-x2", recipe, out_dir=tmp_path / "runs")
    assert result.metadata["data"].startswith("photos@")
    assert result.validations[-1].psnr["sr-x2"] > 0
    assert len(caplog.messages) == 1
    network = load_checkpoint(result.weights)
    checkpoint = load_checkpoint(result.weights.with_name("checkpoint.pt"))
    for name, value in result.model.state_dict().items():
        assert value.equal(network.state_dict()[name])
        assert value.equal(checkpoint.state_dict()[name])
    run = json.loads(result.weights.with_name("run.json").read_text())
    assert run["recipe"]["datasets"] == [{"folder": str(own / "photos")}]


def test_the_average_of_a_checkpoint_is_what_is_used(own, tmp_path):
    recipe = load_recipe(write_recipe(own, {"folder": "photos"}, ema=0.5))
    result = train("kgt-tiny-x2", recipe, out_dir=tmp_path / "runs")
    path = result.weights.with_name("checkpoint.pt")
    network = kgt.create_model("kgt-tiny-x2", pretrained=path)
    assert all(
        value.equal(result.model.state_dict()[name]) for name, value in network.state_dict().items()
    )


def test_own_pairs_are_trained_on_as_they_are(own):
    for name in ("blurred", "sharp"):
        draw(own / "pairs" / name / "a.png", seed=len(name))
    text = "pairs: deblur\ninput: blurred\ntarget: sharp\n"
    (own / "pairs" / "dataset.yaml").write_text(text)
    path = write_recipe(own, {"folder": "pairs"}, tasks=["deblur"])
    inputs, targets = PatchSampler(load_recipe(path))[0]
    assert not inputs.equal(targets)
    for patch, name in ((inputs, "blurred"), (targets, "sharp")):
        image = np.array(Image.open(own / "pairs" / name / "a.png"))
        colors = {tuple(color) for color in image.reshape(-1, 3).tolist()}
        found = (patch[0].permute(1, 2, 0).reshape(-1, 3) * 255).round().int().tolist()
        assert {tuple(color) for color in found} <= colors


def test_what_is_not_as_one_may_think_is_said(own, tmp_path, caplog, toy, monkeypatch):
    draw(own / "photos" / "small.png", (20, 20))
    fields = toy(one=np.zeros((40, 40, 3), np.uint8))
    recipe = load_recipe(write_recipe(own, {"folder": "photos"}, *fields["datasets"]))
    monkeypatch.setitem(MANIFEST, "toy", {"train": Split(str(tmp_path / "toy"), 3)})
    train("kgt-tiny-x2", recipe, out_dir=tmp_path / "runs")
    assert caplog.messages == [
        f"warning: toy is not the published set: 2 more belong into {tmp_path / 'toy'}",
        "warning: 1 images are too small for a patch and left out, such as small",
    ]


def test_what_is_too_small_to_validate_on_is_told_before_the_training(own):
    draw(own / "photos" / "small.png", (20, 20))
    recipe = load_recipe(write_recipe(own, {"folder": "photos"}, held_out=2))
    with pytest.raises(ValueError, match=r"small\.png has 20x20 pixels .* 32x32 are needed"):
        PatchSampler(recipe)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ({"folder": "absent"}, "there is no folder .*work/absent"),
        ({"folder": "pairs"}, "1 without a target, such as .*pairs/input/a.png"),
        ({"folder": "sizes"}, "a.png has 40x44 pixels, its target .*a.png 41x44; a target must be"),
        ({"folder": "photos", "split": "x"}, "datasets.0.split: no such field"),
        (
            {"folders": "photos"},
            "datasets.0.folder: Field required; datasets.0.folders: no such field$",
        ),
        (3, "datasets.0: Input should be a valid dictionary, got 3$"),
        ("photos", "unknown dataset 'photos'"),
    ],
)
def test_wrong_folders_are_told_in_one_line(own, dataset, message):
    for name, folder, size in (
        ("pairs", "input", (40, 44)),
        ("pairs", "target", (40, 44)),
        ("sizes", "input", (40, 44)),
        ("sizes", "target", (41, 44)),
    ):
        (own / name).mkdir(exist_ok=True)
        (own / name / "dataset.yaml").write_text("pairs: deblur\n")
        draw(own / name / folder / "a.png", size)
    (own / "pairs" / "target" / "a.png").unlink()
    path = write_recipe(own, dataset, tasks=["deblur"])
    with pytest.raises(ValueError, match=message) as error:
        PatchSampler(load_recipe(path))
    assert "\n" not in str(error.value)
