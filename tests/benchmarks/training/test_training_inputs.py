"""What training patches are made of: degradations, levels, losses, held-out images."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import load_file

from baselines.catalog import create_any_model
from baselines.deconvolution import append_undone
from benchmarks.data.datasets import load_dataset
from benchmarks.quality import evaluate
from benchmarks.tasks import get_task
from benchmarks.tasks.deblurring import shake_kernel
from benchmarks.tasks.jpeg import compress_jpeg
from benchmarks.training import loop
from benchmarks.training.data import PatchSampler, iterate_batches, split_images
from benchmarks.training.loop import Listener, train
from benchmarks.training.losses import LOSSES, charbonnier, make_loss
from benchmarks.training.recipes import Recipe
from benchmarks.training.state import digest_weights
from benchmarks.training.validation import measure_psnr

FIELDS = {
    "name": "mini",
    "version": 1,
    "datasets": ["embedded"],
    "images": ["coins", "moon", "rocket"],
    "steps": 3,
    "batch": 8,
    "patch": 32,
    "lr": 1e-3,
}


def make(tasks, **fields):
    return Recipe(**{**FIELDS, "tasks": tasks, **fields})


def as_images(batch):
    """Inputs and targets as numpy arrays [b, h, w, 3], targets as uint8."""
    inputs, targets = (part.permute(0, 2, 3, 1).numpy() for part in batch)
    return inputs, (targets * 255).round().astype(np.uint8)


def photograph():
    return next(item.image for item in load_dataset("embedded", "train") if item.name == "rocket")


@pytest.mark.parametrize("task", ["demosaic", "deblur"])
def test_a_patch_with_its_margin_is_degraded_as_the_whole_image(task):
    image, size = photograph(), 40
    side = min(image.shape[:2])
    rule = get_task(task).patches
    margin = rule.margin(side)
    assert margin > 0
    top, left = 100, 150
    outer = image[top - margin : top + size + margin, left - margin : left + size + margin]
    for seed in range(5):
        patch, whole = (
            rule.degrade(pixels, np.random.default_rng(seed), side, 0) for pixels in (outer, image)
        )
        inner = patch[margin : margin + size, margin : margin + size]
        assert np.array_equal(inner, whole[top : top + size, left : left + size])


def test_the_mosaic_of_every_patch_begins_with_red():
    inputs, targets = as_images(PatchSampler(make(["demosaic"]))[0])
    inputs = (inputs * 255).round().astype(np.uint8)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        own = inputs[:, row::2, column::2, channel]
        assert np.array_equal(own, targets[:, row::2, column::2, channel])
    assert not np.array_equal(inputs, targets)


def test_a_longest_shake_stays_within_the_margin():
    rule = get_task("deblur").patches
    for side in (40, 321, 720):
        for seed in range(50):
            kernel = shake_kernel(np.random.default_rng(seed), side)
            assert kernel.shape[0] // 2 <= rule.margin(side)


def test_levels_of_noise_are_drawn_evenly_between_the_ends():
    tasks = [f"denoise-color-s{sigma}" for sigma in (15, 25, 50)]
    sampler = PatchSampler(make(tasks, level=(15, 50), batch=200))
    noise = np.concatenate([np.subtract(*(x.numpy() for x in sampler[i])) for i in range(3)])
    sigmas = 255 * noise.std((1, 2, 3))
    assert sigmas.min() == pytest.approx(15, abs=1)
    assert sigmas.max() == pytest.approx(50, abs=2)
    assert sigmas.mean() == pytest.approx(32.5, abs=1.5)
    fixed = PatchSampler(make(tasks, batch=200))
    found = np.round(255 * np.subtract(*(x.numpy() for x in fixed[0])).std((1, 2, 3)) / 5) * 5
    assert set(found) == {15, 25, 50}


def test_compressed_patches_are_of_every_quality_in_range():
    sampler = PatchSampler(make(["jpeg-color-q10", "jpeg-color-q40"], level=(10, 12), batch=40))
    inputs, targets = as_images(sampler[0])
    inputs = (inputs * 255).round().astype(np.uint8)
    found = set()
    for patch, target in zip(inputs, targets, strict=True):
        qualities = [
            q for q in range(5, 50) if np.array_equal(patch, compress_jpeg(target, "", quality=q))
        ]
        assert {10, 11, 12} & {*qualities}
        if len(qualities) == 1:  # a flat patch looks the same at many
            found.add(qualities[0])
    assert found == {10, 11, 12}


@pytest.mark.slow
def test_weather_is_cut_from_whole_images():
    recipe = make(["weather-rain"], images=["rocket"], batch=1, patch=64)
    sampler, task = PatchSampler(recipe), get_task("weather-rain")
    dataset = load_dataset("embedded", "train")
    item = next(item for item in dataset if item.name == "rocket")
    pair = task.make_pair(dataset, item)
    inputs, targets = as_images(sampler[0])
    patch = (inputs[0] * 255).round().astype(np.uint8)
    for turns, mirrored in itertools.product(range(4), (False, True)):
        clean, degraded = (
            np.rot90(image[:, ::-1] if mirrored else image, turns) for image in (targets[0], patch)
        )
        places = find(pair.target, clean)
        if places:
            assert places[0] in find(pair.input, degraded)
            return
    pytest.fail("the target is no part of the image")


def test_tasks_are_drawn_evenly():
    sampler = PatchSampler(make(["weather-rain", "weather-snow", "weather-raindrop"], batch=300))
    sampler[0]
    assert {task for _, task in sampler._cache} == {
        "",
        "weather-rain",
        "weather-snow",
        "weather-raindrop",
    }


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_a_batch(world):
    recipe = make(["denoise-color-s25"])
    whole = PatchSampler(recipe)[5]
    parts = [PatchSampler(recipe, rank, world)[5] for rank in range(world)]
    for index in (0, 1):
        joined = torch.stack([part[index] for part in parts], 1).flatten(0, 1)
        assert torch.equal(joined, whole[index])
    with pytest.raises(ValueError, match="batch of 8 cannot be shared evenly by 3 processes"):
        PatchSampler(recipe, 0, 3)


def test_workers_change_nothing():
    sampler = PatchSampler(make(["demosaic"], steps=5))
    alone, shared = (list(iterate_batches(sampler, range(1, 5), workers)) for workers in (0, 2))
    assert len(alone) == len(shared) == 4
    for left, right in zip(alone, shared, strict=True):
        assert all(map(torch.equal, left, right))


def test_gray_tasks_have_gray_patches():
    inputs, targets = PatchSampler(make(["denoise-gray-s25"]))[0]
    assert inputs.shape == targets.shape == (8, 1, 32, 32)


def test_held_out_images_are_the_last_and_train_nothing(tmp_path):
    recipe = make(["denoise-color-s50"], held_out=1, steps=1)
    (images,) = split_images(recipe)[1]
    assert list(images.paths) == ["rocket"]
    kept = make(["denoise-color-s50"], images=["coins", "moon"], steps=1)
    assert torch.equal(PatchSampler(recipe)[0][0], PatchSampler(kept)[0][0])
    points = []
    result = train(
        "kgt-tiny-denoise-color",
        recipe,
        out_dir=tmp_path,
        listener=Listener(on_validation=points.append),
    )
    assert points == result.validations
    expected = evaluate(result.model, get_task("denoise-color-s50"), images).metrics["psnr"]
    assert points[0].psnr == {"denoise-color-s50": pytest.approx(expected)}
    identity = create_any_model("identity")
    expected = evaluate(identity, get_task("denoise-color-s50"), images).metrics["psnr"]
    assert measure_psnr(identity, recipe, [images]) == {
        "denoise-color-s50": pytest.approx(expected)
    }
    with pytest.raises(ValueError, match="3 of 3 images of the train split of embedded are"):
        PatchSampler(make(["demosaic"], held_out=3))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tasks": ["sr-x2", "sr-x4"]}, "differ in scale"),
        ({"tasks": ["demosaic"], "level": (1, 2)}, "demosaic has no level"),
        ({"tasks": ["denoise-color-s15"], "level": (50, 15)}, "lower end comes first"),
    ],
)
def test_tasks_that_do_not_go_together_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        Recipe(**{**FIELDS, **fields})


def test_losses_are_their_formulas():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 2, 3, 5, 7, generator=generator, dtype=torch.float64)
    difference = (x - y).numpy()
    assert LOSSES["l1"](x, y).item() == pytest.approx(np.abs(difference).mean())
    assert charbonnier(x, y).item() == pytest.approx(np.sqrt(difference**2 + 1e-6).mean())
    assert LOSSES["smooth-l1"](x, y).item() == pytest.approx((difference**2 / 2).mean())
    assert make_loss("charbonnier") is charbonnier
    errors = (difference**2).reshape(2, -1).mean(1)
    assert LOSSES["psnr"](x, y).item() == pytest.approx(np.log1p(errors / 1e-3).mean())


def test_the_psnr_loss_weighs_a_decibel_of_any_patch_alike():
    target = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    for error in (0.9, 0.3):
        loud, less = (LOSSES["psnr"](target + part, target) for part in (error, 0.9 * error))
        assert (loud - less).item() == pytest.approx(-2 * np.log(0.9), rel=0.05)
    assert LOSSES["psnr"](target, target) == 0


def test_a_perceptual_loss_says_which_file_it_needs(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ValueError, match=r"vgg16-397923af\.pth there, or set perceptual: 0"):
        make_loss("smooth-l1", perceptual=0.04)


def test_the_moving_average_is_what_is_kept(tmp_path):
    recipe = make(["denoise-color-s25"], images=["coins"], ema=0.75, batch=1)
    seen = []
    name = "kgt-tiny-denoise-color"

    def note(step, loss):
        seen.append({k: v.clone() for k, v in run.state.model.state_dict().items()})

    opened = loop._Run.open
    run = None

    def remember(self, *arguments):
        nonlocal run
        run = self
        opened(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Run, "open", remember)
        result = train(name, recipe, out_dir=tmp_path, listener=Listener(note))
    average = seen[0]
    for weights in seen[1:]:
        average = {k: 0.75 * average[k] + 0.25 * weights[k] for k in average}
    for key, value in result.model.state_dict().items():
        torch.testing.assert_close(value, average[key])
        assert value.equal(seen[-1][key]) == average[key].equal(seen[-1][key])


def test_training_in_bfloat16_keeps_float32_weights(tmp_path):
    recipe = make(["denoise-color-s25"], images=["coins"], precision="bfloat16", batch=1)
    result = train("kgt-tiny-denoise-color", recipe, out_dir=tmp_path)
    assert {p.dtype for p in result.model.parameters()} == {torch.float32}
    assert all(torch.isfinite(torch.tensor(point.loss)) for point in result.losses)


def test_inputs_that_come_with_a_set_are_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    for kind in ("input", "target"):
        place = tmp_path / "GoPro" / "train" / kind
        place.mkdir(parents=True)
        Image.fromarray(photograph()).save(place / "rocket.png")
    inputs, targets = PatchSampler(make(["deblur"], datasets=["GoPro"], images=[]))[0]
    assert inputs.equal(targets)


def find(image, patch):
    """Places (row, column) of a patch in an image."""
    height, width = patch.shape[:2]
    corners = image[: len(image) - height + 1, : image.shape[1] - width + 1]
    places = np.argwhere((corners == patch[0, 0]).all(-1))
    views = {(y, x): image[y : y + height, x : x + width] for y, x in places.tolist()}
    return [place for place, view in views.items() if np.array_equal(view, patch)]


def test_a_whole_image_is_prepared_before_patches_are_cut():
    recipe = make(["deblur"], images=["rocket"])
    inputs, targets = as_images(PatchSampler(recipe, prepare=append_undone)[0])
    (rocket,) = (item for item in load_dataset("embedded", "train") if item.name == "rocket")
    pair = get_task("deblur").make_pair(load_dataset("embedded", "train"), rocket)
    planes = torch.from_numpy(pair.input).permute(2, 0, 1)[None]
    prepared = append_undone(planes)[0].permute(1, 2, 0).numpy()
    for patch, target in zip((inputs * 255).round().astype(np.uint8), targets, strict=True):
        places = []
        for rows, columns, transpose in itertools.product((1, -1), (1, -1), (False, True)):
            whole, original = (
                image[::rows, ::columns].swapaxes(0, 1) if transpose else image[::rows, ::columns]
                for image in (prepared, pair.target)
            )
            places += [place in find(whole, patch) for place in find(original, target)]
        assert any(places)


def test_a_network_that_must_see_whole_images_is_trained_behind_its_first_step(tmp_path):
    recipe = make(["deblur"], images=["rocket"], start="nearest", batch=2, ema=0.9)
    name = "deconvolved-kgt-tiny-deblur"
    first = train(name, recipe, out_dir=tmp_path / "one")
    again = train(name, recipe, out_dir=tmp_path / "two", workers=1)
    assert first.weights_digest == again.weights_digest
    untouched = create_any_model(name)
    assert first.weights_digest != digest_weights(untouched)
    untouched.load_state_dict(load_file(first.weights))
    assert digest_weights(untouched) == first.weights_digest


def test_levels_are_refused_where_whole_images_are_degraded_once():
    recipe = make(["denoise-color-s25"], level=(15, 50))
    with pytest.raises(ValueError, match=r"level = .* the network must see whole images"):
        PatchSampler(recipe, prepare=append_undone)
