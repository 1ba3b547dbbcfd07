import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data.datasets import DatasetNotFound, load_dataset
from benchmarks.tasks import TASKS, get_task
from benchmarks.tasks.sizing import crop_to_multiple

DATA = Path(os.environ.get("KGT_DATA", "unset"))


@pytest.fixture
def set5(tmp_path, monkeypatch):
    """A data root whose Set5 has one image of 25x31 pixels."""
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    folder = tmp_path / "Set5" / "HR"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (25, 31, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "baby.png")
    return folder


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_input_is_our_resize_where_the_set_ships_none(set5, scale):
    task, dataset = get_task(f"sr-x{scale}"), load_dataset("Set5")
    (item,) = dataset
    pair = task.make_pair(dataset, item)
    height, width = 25 // scale, 31 // scale
    assert task.degradation(dataset) == "imresize@1"
    assert pair.input.shape == (height, width, 3)
    assert np.array_equal(pair.target, item.image[: height * scale, : width * scale])


def test_shipped_input_is_preferred(set5):
    folder = set5.parent / "LR_bicubic" / "X2"
    folder.mkdir(parents=True)
    shipped = np.zeros((12, 15, 3), np.uint8)
    Image.fromarray(shipped).save(folder / "babyx2.webp", lossless=True)
    dataset = load_dataset("Set5")
    (item,) = dataset
    assert TASKS["sr-x2"].degradation(dataset) == "shipped"
    assert np.array_equal(TASKS["sr-x2"].make_pair(dataset, item).input, shipped)
    assert TASKS["sr-x3"].degradation(dataset) == "imresize@1"


def test_a_missing_shipped_file_is_not_replaced(set5):
    (set5.parent / "LR_bicubic" / "X2").mkdir(parents=True)
    dataset = load_dataset("Set5")
    (item,) = dataset
    with pytest.raises(DatasetNotFound, match="babyx2"):
        TASKS["sr-x2"].make_pair(dataset, item)


def test_a_shipped_file_of_another_size_is_refused(set5):
    folder = set5.parent / "LR_bicubic" / "X2"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((13, 15, 3), np.uint8)).save(folder / "babyx2.png")
    dataset = load_dataset("Set5")
    (item,) = dataset
    with pytest.raises(ValueError, match=r"\(13, 15, 3\); \(12, 15, 3\) expected at x2"):
        TASKS["sr-x2"].make_pair(dataset, item)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_degradation_reproduces_the_shipped_files(name, scale):
    if not (DATA / name).is_dir():
        pytest.skip(f"KGT_DATA has no {name}")
    task, dataset = TASKS[f"sr-x{scale}"], load_dataset(name)
    assert task.degradation(dataset) == "shipped"
    for item in dataset:
        pair = task.make_pair(dataset, item)
        made = task.degradations["imresize"].apply(pair.target, item.name)
        assert np.array_equal(made, pair.input), item.name


def test_degradation_of_a_flat_image_is_flat():
    degradation = TASKS["sr-x4"].degradations["imresize"]
    assert (degradation.apply(np.full((16, 24), 77, np.uint8), "flat") == 77).all()


@pytest.mark.parametrize("multiple", [1, 2, 3, 4])
def test_crop_keeps_the_top_left(multiple):
    image = np.arange(7 * 9, dtype=np.uint8).reshape(7, 9)
    cropped = crop_to_multiple(image, multiple)
    assert cropped.shape == (7 - 7 % multiple, 9 - 9 % multiple)
    assert np.array_equal(cropped, image[: cropped.shape[0], : cropped.shape[1]])


def test_images_below_the_scale_are_refused():
    with pytest.raises(ValueError, match="3x9 pixels is smaller than 4x4"):
        crop_to_multiple(np.zeros((3, 9), np.uint8), 4)


def test_unknown_task_lists_the_valid_ones():
    with pytest.raises(ValueError, match="'sr-x8'; valid: sr-x4, sr-x3, sr-x2, deblur, "):
        get_task("sr-x8")


def test_default_protocol_is_one_of_the_task():
    for name, task in TASKS.items():
        assert name == task.name
        assert task.default_protocol in task.protocols
