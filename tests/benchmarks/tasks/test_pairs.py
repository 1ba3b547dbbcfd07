import numpy as np
import pytest
from PIL import Image
from torch import nn

import baselines
from benchmarks.data.datasets import DatasetNotFound, load_dataset
from benchmarks.quality import evaluate
from benchmarks.tasks import TASKS, get_protocol, get_task
from benchmarks.tasks.sizing import crop_to_multiple, resize_as_transweather


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def noise(seed, *size):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.fixture
def gopro(tmp_path, monkeypatch):
    """A data root whose GoPro has the pairs a and b."""
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    for seed, name in enumerate("ab"):
        save(tmp_path / "GoPro" / "input" / f"{name}.png", noise(seed, 40, 48))
        save(tmp_path / "GoPro" / "target" / f"{name}.png", noise(seed + 10, 40, 48))
    return tmp_path / "GoPro"


@pytest.fixture
def identity() -> nn.Module:
    return baselines.create_model("identity")


def test_pairs_are_joined_by_their_stems(gopro):
    (gopro / "input" / "b.png").unlink()
    save(gopro / "input" / "b.bmp", noise(1, 40, 48))
    task, dataset = get_task("deblur"), load_dataset("GoPro")
    assert task.degradation(dataset) == "shipped"
    assert dataset.coverage == "2 of 1111"
    pairs = {item.name: task.make_pair(dataset, item) for item in dataset}
    assert np.array_equal(pairs["b"].input, noise(1, 40, 48))
    assert np.array_equal(pairs["b"].target, noise(11, 40, 48))


def test_a_split_may_have_a_folder_of_its_own(gopro, tmp_path):
    (gopro / "test").mkdir()
    for kind in ("input", "target"):
        (gopro / kind).rename(gopro / "test" / kind)
    assert len(load_dataset("GoPro")) == 2


def test_unmatched_names_fail_alone_and_name_both_files(gopro, identity):
    (gopro / "target" / "a.png").unlink()
    (gopro / "input" / "b.png").unlink()
    for kind in ("input", "target"):
        save(gopro / kind / "c.png", noise(2, 40, 48))
    evaluation = evaluate(identity, get_task("deblur"), load_dataset("GoPro"))
    assert set(evaluation.per_image) == {"c"}
    assert evaluation.images == 1
    assert "input/a.png has no target" in evaluation.failed["a"]
    assert str(gopro / "target" / "a") in evaluation.failed["a"]
    assert "target/b.png has no input" in evaluation.failed["b"]
    assert str(gopro / "input" / "b") in evaluation.failed["b"]


def test_unequal_sizes_name_both_files_and_sizes(gopro):
    save(gopro / "input" / "a.png", noise(0, 40, 47))
    dataset = load_dataset("GoPro")
    item = next(iter(dataset))
    with pytest.raises(ValueError, match=r"input/a\.png has 40x47 .*target/a\.png 40x48"):
        get_task("deblur").make_pair(dataset, item)


def test_a_set_of_pairs_without_any_names_its_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    with pytest.raises(DatasetNotFound, match=r"58 images .*RainDrop \(in input and target\)"):
        load_dataset("RainDrop")


def test_pairs_of_another_task_are_not_used(gopro):
    """GoPro ships blur; rain on it is synthetic, and falls on the sharp images."""
    task, dataset = get_task("weather-rain"), load_dataset("GoPro")
    assert task.degradation(dataset) == "synthetic-rain@1"
    pair = task.make_pair(dataset, next(iter(dataset)))
    assert np.array_equal(pair.target, noise(10, 40, 48))
    assert not np.array_equal(pair.input, noise(0, 40, 48))


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_makes_pairs_of_an_embedded_image(name):
    task, dataset = TASKS[name], load_dataset("embedded")
    gray = {item.name: item for item in dataset}["camera"]
    color = {item.name: item for item in dataset}["chelsea"]
    for item in (gray, color):
        pair = task.make_pair(dataset, item)
        height, width = pair.target.shape[:2]
        assert pair.target.dtype == np.uint8
        assert pair.target.shape == (height, width, 3)[: 2 if task.channels == 1 else 3]
        assert pair.input.shape[:2] == (height // task.scale, width // task.scale)
        assert pair.input.ndim == pair.target.ndim
        assert pair.input.dtype == (np.float32 if "sigma" in task.conditions else np.uint8)
    assert "@1" in task.degradation(dataset)


@pytest.mark.parametrize(
    ("name", "conditions"),
    [
        ("sr-x3", {"scale": 3}),
        ("denoise-gray-s15", {"scale": 1, "sigma": 15}),
        ("jpeg-color-q40", {"scale": 1, "quality": 40}),
        ("deblur", {"scale": 1}),
    ],
)
def test_conditions_are_what_a_network_must_know(name, conditions):
    assert TASKS[name].conditions == conditions


def test_there_are_these_tasks():
    assert sorted(TASKS) == sorted(
        [f"sr-x{s}" for s in (2, 3, 4)]
        + [f"denoise-gray-s{s}" for s in (15, 25, 50)]
        + [f"denoise-color-s{s}" for s in (10, 15, 25, 35, 50, 75)]
        + [f"jpeg-{kind}-q{q}" for kind in ("gray", "color") for q in (10, 20, 30, 40)]
        + ["demosaic", "deblur", "weather-rain", "weather-snow", "weather-raindrop", "twins-s15"]
    )


def test_protocols_choose_noise_and_size(gopro):
    task, dataset = get_task("denoise-color-s25"), load_dataset("GoPro")
    save(gopro / "target" / "a.png", noise(10, 41, 50))
    item = next(iter(dataset))
    pairs = {rules.name: task.make_pair(dataset, item, rules) for rules in task.protocols[:3]}
    assert [pair.target.shape[:2] for pair in pairs.values()] == [(41, 50), (41, 50), (40, 48)]
    assert str(task.degradation(dataset, get_protocol("denoise-color-grl"))) == "noise-grl@1"
    swinir, restormer = pairs["denoise-color-swinir"].input, pairs["denoise-color-restormer"].input
    assert not np.array_equal(swinir, restormer)


def test_transweather_resizes_input_and_target(gopro):
    task, dataset = get_task("weather-rain"), load_dataset("GoPro")
    pair = task.make_pair(dataset, next(iter(dataset)), get_protocol("transweather-resize16"))
    assert pair.input.shape == pair.target.shape == (48, 48, 3)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 720), (480, 720)), ((481, 720), (496, 720)), ((2000, 1000), (1024, 512)),
     ((1000, 3000), (352, 1024)), ((1, 1), (16, 16))],
)  # fmt: skip
def test_transweather_sizes(size, expected):
    assert resize_as_transweather(np.zeros((*size, 3), np.uint8)).shape == (*expected, 3)


def test_sizes_of_an_image_that_fits_are_kept_bit_for_bit():
    image = noise(0, 32, 48)
    assert np.array_equal(resize_as_transweather(image), image)
    assert np.array_equal(crop_to_multiple(image, 8), image)


@pytest.mark.parametrize(("task", "size"), [("sr-x4", (3, 40)), ("jpeg-color-q10", (1, 1))])
def test_images_too_small_for_a_task_fail_with_a_way_out(tmp_path, monkeypatch, task, size):
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    save(tmp_path / "Set5" / "HR" / "dot.png", noise(0, *size))
    task = get_task(task)
    model = baselines.create_model("bicubic", scale=task.scale)
    evaluation = evaluate(model, task, load_dataset("Set5"))
    assert evaluation.images == 0
    assert f"{size[0]}x{size[1]}" in evaluation.failed["dot"]
