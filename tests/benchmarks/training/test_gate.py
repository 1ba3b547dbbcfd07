"""Nothing is trained on, or held out, that shows an image of a test set."""

import shutil

import pytest
import yaml
from PIL import Image
from skimage import data as photographs

from benchmarks import train as command
from benchmarks.data import features, leaks
from benchmarks.data.datasets import find_dataset, load_dataset
from benchmarks.training import gate
from benchmarks.training.loop import Listener, train
from benchmarks.training.recipes import load_recipe
from tests.benchmarks.data.planting import Cut
from tests.benchmarks.training.mini import FIELDS

MODEL = "kgt-tiny-x2"


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of an image that is in no test set, beside where recipes go, and not searched."""
    monkeypatch.setattr(leaks, "find_in_cache", lambda name: tmp_path / "cache" / name)
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(photographs.coins()).convert("RGB").save(folder / "coins.png")
    return folder


def write_recipe(photos, **fields):
    content = {**FIELDS, "images": [], "steps": 1, "datasets": [{"folder": "photos"}], **fields}
    path = photos.parent / "my.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def plant(photos, name="a"):
    """Put a part of embedded/astronaut there, made smaller."""
    image = Cut(100, 20, 300, 240, 0.8, quality=80).of(photographs.astronaut())
    Image.fromarray(image).save(photos / f"{name}.png")


@pytest.mark.parametrize(("name", "held_out"), [("a", 0), ("z", 1)])
def test_an_image_that_shows_a_test_image_is_refused(photos, name, held_out, capsys):
    plant(photos, name)
    arguments = ["--model", MODEL, "--recipe", write_recipe(photos, held_out=held_out)]
    arguments += ["--out", str(photos.parent / "runs"), "--workers", "0"]
    assert command.main(arguments) == 2
    first, leak, way_out = capsys.readouterr().err.splitlines()
    assert first == "train: recipe mini uses images that show test images:"
    assert leak.startswith(f"photos/{name} shows ")
    assert "% of embedded/astronaut at scale 0.80, offset (-80, -16), correlation 0.9" in leak
    line = f'exclude: ["{name}"]'
    assert way_out == f"leave them out, by this line of the recipe: {line}"
    write_recipe(photos, **yaml.safe_load(line))
    assert command.main(arguments) == 0


def test_the_way_out_names_what_is_left_out_already(photos):
    plant(photos, "001")
    plant(photos, "002")
    recipe = load_recipe(write_recipe(photos, exclude=["002"]))
    assert gate.describe_leaks(recipe, str).endswith('exclude: ["001", "002"]')


def test_a_test_set_by_another_name_is_refused_before_anything_is_searched(photos, monkeypatch):
    monkeypatch.setattr(gate, "find_leaks", None)
    (photos / "coins.png").unlink()
    for number, item in enumerate(load_dataset("embedded")):
        Image.fromarray(item.image).save(photos / f"{number}.tif")
    recipe = load_recipe(write_recipe(photos))
    lines = gate.describe_leaks(recipe, str).splitlines()
    how = "at scale 1.00, offset (0, 0), pixel by pixel"
    names = enumerate(("astronaut", "camera", "chelsea"))
    assert lines == [
        "recipe mini uses images that show test images:",
        *(f"photos/{number} shows 100% of embedded/{name} {how}" for number, name in names),
        "and 1 more",
        "those are all of its images; name others",
    ]


def test_the_second_start_decodes_nothing(photos, monkeypatch):
    plant(photos)
    recipe = load_recipe(write_recipe(photos))
    seen = []
    first = gate.describe_leaks(recipe, seen.append)
    assert {"photos/a", "photos/coins", "embedded/astronaut"} <= set(seen)
    for module, name in ((features, "Features"), (leaks, "TrainingImages"), (leaks, "read_image")):
        monkeypatch.setattr(module, name, None)
    monkeypatch.setattr("benchmarks.data.datasets.read_image", None)
    assert gate.describe_leaks(recipe, str) == first


def test_a_training_that_is_finished_is_not_searched(photos, monkeypatch):
    recipe = load_recipe(write_recipe(photos))
    seen = []
    listener = Listener(on_image=seen.append)
    train(MODEL, recipe, out_dir=photos.parent / "runs", listener=listener)
    assert "photos/coins" in seen
    monkeypatch.setattr("benchmarks.training.loop.describe_leaks", None)
    train(MODEL, recipe, out_dir=photos.parent / "runs")


@pytest.mark.usefixtures("data_root")
def test_an_absent_test_set_is_known_by_its_features(photos, monkeypatch):
    training = find_dataset("BSDS500", "train")
    for name in ("12003", "100075", "302003"):
        shutil.copy(training.paths[name], photos)
    monkeypatch.delenv("KGT_DATA")
    recipe = load_recipe(write_recipe(photos))
    _, *found, way_out = gate.describe_leaks(recipe, str).splitlines()
    crop, smaller = sorted(found)
    assert crop.startswith("photos/12003 shows 100% of Set12/04 at scale 1.00, offset (109, 7), by")
    assert smaller.startswith("photos/302003 shows ")
    assert " of Set5/woman at scale 1.39, " in smaller
    assert way_out.endswith('exclude: ["12003", "302003"]')


@pytest.mark.slow
def test_the_public_training_set_has_two_leaks_and_recipes_leave_them_out(
    data_root, tmp_path, monkeypatch
):
    monkeypatch.setenv("KGT_CACHE", str(tmp_path / "cache"))
    # Features of the larger test sets, which show none of these images, take minutes.
    (tmp_path / "data" / "BSDS500").mkdir(parents=True)
    for name in ("BSDS500/train", "Set5", "Set12", "Set14"):
        (tmp_path / "data" / name).symlink_to(data_root / name)
    monkeypatch.setenv("KGT_DATA", str(tmp_path / "data"))
    recipe = load_recipe("small-denoise-color")
    _, *found, way_out = gate.describe_leaks(recipe.replace(exclude=()), str).splitlines()
    assert [line.split(" at scale")[0] for line in found] == [
        "BSDS500/302003 shows 100% of Set5/woman",
        "BSDS500/12003 shows 100% of Set12/04",
    ]
    assert way_out.endswith('exclude: ["12003", "302003"]')
    assert gate.describe_leaks(recipe, str) == ""
