import shutil

import numpy as np
import pytest
from PIL import Image

from benchmarks.data.datasets import DatasetNotFound, load_folder, pair_folders
from benchmarks.tasks import get_task


def draw(path, height=16, width=24, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for seed, name in enumerate(("b.png", "a.jpeg", "C.TIF")):
        draw(folder / name, seed=seed)
    return folder


def test_all_images_of_a_folder_are_taken(photos):
    dataset = load_folder(photos)
    assert list(dataset.paths) == ["C", "a", "b"]
    assert (dataset.name, dataset.split, dataset.coverage) == ("photos", "own", "3 of 3")
    assert dataset.pairs == ""


def test_hidden_files_and_folders_within_are_left_alone(photos):
    (photos / "._b.png").write_bytes(b"of another system")
    draw(photos / ".thumbnails" / "d.png")
    draw(photos / "more" / "e.png")
    (photos / "notes.txt").touch()
    assert list(load_folder(photos).paths) == ["C", "a", "b"]


def test_records_call_it_by_its_files_not_by_its_place(photos, tmp_path):
    label = load_folder(photos).label
    assert label.startswith("photos@")
    assert len(label) == len("photos@") + 12
    elsewhere = shutil.copytree(photos, tmp_path / "elsewhere" / "photos")
    assert load_folder(elsewhere).label == label
    draw(elsewhere / "b.png", seed=9)
    assert load_folder(elsewhere).label != label


def test_a_folder_that_is_called_as_a_published_set_is_not_taken_for_it(tmp_path):
    draw(tmp_path / "Set5" / "baby.png")
    draw(tmp_path / "LR_bicubic" / "X2" / "babyx2.png", 8, 12)
    dataset = load_folder(tmp_path / "Set5")
    assert dataset.label.startswith("Set5@")
    assert get_task("sr-x2").degradation(dataset) != "shipped"


def test_a_description_tells_name_source_and_pairs(tmp_path):
    draw(tmp_path / "set" / "blurred" / "a.png", seed=1)
    sharp = draw(tmp_path / "set" / "sharp" / "a.png", seed=2)
    (tmp_path / "set" / "dataset.yaml").write_text(
        "name: my camera\nsource: own, CC-BY-4.0\npairs: deblur\ninput: blurred\ntarget: sharp\n"
    )
    dataset = load_folder(tmp_path / "set")
    assert (dataset.name, dataset.source, dataset.pairs) == (
        *("my camera", "own, CC-BY-4.0"),
        "deblur",
    )
    assert dataset.label.startswith("my camera@")
    pair = get_task("deblur").make_pair(dataset, next(iter(dataset)))
    assert np.array_equal(pair.target, sharp)
    assert not np.array_equal(pair.input, sharp)


def test_a_description_may_name_some_images_of_another_folder(photos, tmp_path):
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "dataset.yaml").write_text("folder: ../photos\nstems: [a, b]\n")
    assert list(load_folder(tmp_path / "some").paths) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("names: x", "names: no such field .valid: folder, count, name"),
        ("count: many", "count: Input should be a valid integer"),
        ("[a", "cannot be read as YAML"),
        ("- a", "dataset.yaml holds no mapping"),
        ("count: 4", "photos has 3 images, 4 by "),
    ],
)
def test_a_wrong_description_is_told_in_one_line(photos, text, fault):
    (photos / "dataset.yaml").write_text(text)
    with pytest.raises(ValueError, match=fault):
        load_folder(photos)


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_without_images_the_folder_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetNotFound, match=rf"{name}"):
        load_folder(tmp_path / name)
    with pytest.raises(DatasetNotFound, match=rf"{name} has no images"):
        pair_folders(tmp_path / name, tmp_path / name, "deblur")


def test_two_files_of_one_stem_are_refused(photos):
    draw(photos / "a.png")
    with pytest.raises(ValueError, match=r"a\.jpeg and a\.png share a stem"):
        load_folder(photos)


def test_folders_are_paired_by_stem_whatever_the_format(tmp_path):
    draw(tmp_path / "in" / "a.png", seed=1)
    draw(tmp_path / "out" / "a.bmp", seed=2)
    dataset = pair_folders(tmp_path / "in", tmp_path / "out", "deblur")
    dataset.check_pairs(1)
    assert (dataset.name, dataset.pairs, len(dataset)) == ("in+out", "deblur", 1)
    label = dataset.label
    draw(tmp_path / "in" / "a.png", seed=3)
    assert pair_folders(tmp_path / "in", tmp_path / "out", "deblur").label != label


def test_what_has_no_partner_is_named_in_one_line(tmp_path):
    for name in ("a", "b", "c"):
        draw(tmp_path / "in" / f"{name}.png")
    for name in ("a", "d"):
        draw(tmp_path / "out" / f"{name}.png")
    with pytest.raises(ValueError, match=r"1 without an input, such as .*out/d\.png; 2 ") as error:
        pair_folders(tmp_path / "in", tmp_path / "out", "deblur")
    assert "2 without a target, such as" in str(error.value)
    assert "in/b.png" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("scale", "size", "fits"),
    [
        (1, (16, 24), True),
        (1, (17, 24), False),
        (2, (32, 48), True),
        (2, (33, 49), True),
        (2, (34, 48), False),
    ],
)
def test_sizes_are_checked_by_the_scale(tmp_path, scale, size, fits):
    draw(tmp_path / "in" / "a.png")
    draw(tmp_path / "out" / "a.png", *size)
    task = "deblur" if scale == 1 else "sr-x2"
    dataset = pair_folders(tmp_path / "in", tmp_path / "out", task)
    if fits:
        dataset.check_pairs(scale)
        pair = get_task(task).make_pair(dataset, next(iter(dataset)))
        assert pair.target.shape[:2] == tuple(scale * side for side in pair.input.shape[:2])
        return
    sizes = rf"in/a\.png has 16x24 pixels, its target .*out/a\.png {size[0]}x{size[1]}"
    with pytest.raises(ValueError, match=sizes):
        dataset.check_pairs(scale)
    with pytest.raises(ValueError, match=sizes):
        dataset.read_pair("a", scale)
