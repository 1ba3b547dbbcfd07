"""Telling which pixels are degraded, beside restoring them, and patches that show some."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from benchmarks.models import create_any_model, create_described
from benchmarks.training.data import PatchSampler
from benchmarks.training.detection import Detecting, detection_loss, find_degraded
from benchmarks.training.loop import Listener, train
from benchmarks.training.recipes import Recipe
from benchmarks.training.start import start_as_nearest
from benchmarks.training.state import read_checkpoint
from tests.benchmarks.training.mini import Stop, stop_at

MODELS = ("kgt-tiny-weather", "kgt-tiny-weather:shape=columnar", "swinir-tiny-weather")
FIELDS = {
    "name": "mini",
    "version": 1,
    "tasks": ["weather-raindrop"],
    "datasets": ["embedded"],
    "images": ["rocket"],
    "steps": 4,
    "batch": 1,
    "patch": 64,
    "lr": 1e-3,
    "ema": 0.9,
    "clip_grad_norm": 1.0,
    "checkpoint_every_s": 0,
}


def make(**fields):
    return Recipe(**{**FIELDS, **fields})


@pytest.mark.parametrize("name", MODELS)
def test_the_head_changes_nothing_of_the_restoration(name):
    model = create_described(name)
    names = set(model.state_dict())
    detecting = Detecting(model)
    x = torch.rand(2, 3, 70, 90)
    restored, logits = detecting(x)
    assert torch.equal(restored, model(x))
    assert logits.shape == (2, 70, 90)
    assert set(model.state_dict()) == names
    own, head = (set(map(id, part.parameters())) for part in (model, detecting.head))
    assert set(map(id, detecting.parameters())) - own == head


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_of_the_pixels_they_stand_for(name):
    """A head that copies one channel of the features sees a change where it is made."""
    detecting = Detecting(create_described(name).eval())
    torch.nn.init.dirac_(detecting.head.weight)
    torch.nn.init.zeros_(detecting.head.bias)
    x = torch.rand(1, 3, 128, 128)
    other = x.clone()
    other[..., 41, 87] += 0.5
    with torch.no_grad():
        change = (detecting(other)[1] - detecting(x)[1]).abs()[0]
    # The pixel lies in the block (20, 43) of 2x2, all of whose logits see it best.
    top, left = divmod(int(change.argmax()), 128)
    assert abs(top // 2 - 20) <= 1
    assert abs(left // 2 - 43) <= 1


@pytest.mark.parametrize("name", MODELS)
def test_detecting_teaches_a_network_that_begins_as_its_input(name):
    model = create_described(name)
    start_as_nearest(model)
    x, target = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    restored, logits = Detecting(model)(x)
    first = next(module for module in model.modules() if isinstance(module, torch.nn.Conv2d)).weight
    (plain,) = torch.autograd.grad((restored - target).abs().mean(), first, retain_graph=True)
    (told,) = torch.autograd.grad(detection_loss(logits, x, target), first)
    assert not plain.any()
    assert told.abs().max() > 0


def test_models_of_another_kind_have_no_head():
    with pytest.raises(ValueError, match=r"SwinIR has none of .* detection: 0"):
        Detecting(create_any_model("swinir-tiny-x4"))


def test_a_pixel_is_degraded_when_one_of_its_colors_is_9_steps_off():
    target = torch.full((1, 3, 2, 2), 100)
    x = target.clone()
    x[0, 1, 0, 0] += 9
    x[0, 2, 0, 1] -= 9
    x[0, :, 1, 1] += 8
    x, target = (image.float() / 255 for image in (x, target))
    expected = torch.tensor([[[True, True], [False, False]]])
    assert torch.equal(find_degraded(x, target), expected)
    # What a network sees beside its input does not count.
    assert torch.equal(find_degraded(torch.cat([x, x + 1], 1), target), expected)
    probability = 0.8
    logits = torch.full((1, 2, 2), float(np.log(probability / (1 - probability))))
    cross_entropy = -(np.log(probability) + np.log(1 - probability)) / 2
    assert detection_loss(logits, x, target).item() == pytest.approx(cross_entropy)


@pytest.mark.parametrize("model", ["kgt-tiny-weather", "swinir-tiny-weather"])
def test_a_training_that_detects_resumes_to_the_same_bits(model, tmp_path):
    recipe = make(detection=0.1)
    whole = train(model, recipe, out_dir=tmp_path / "whole")
    with pytest.raises(Stop):
        train(model, recipe, out_dir=tmp_path / "parts", listener=stop_at(3))
    resumed = train(model, recipe, out_dir=tmp_path / "parts")
    assert resumed.losses == whole.losses
    assert resumed.weights_digest == whole.weights_digest
    # The head is trained and kept for resuming, and is no part of the weights.
    (checkpoint,) = (tmp_path / "whole").glob("*/checkpoint.pt")
    content = read_checkpoint(checkpoint)
    assert set(content["detector"]) == {"weight", "bias"}
    assert set(whole.model.state_dict()) == set(create_any_model(model).state_dict())


def test_the_head_learns_and_its_loss_counts(tmp_path):
    losses = {}
    for weight in (0.0, 0.1, 1.0):
        seen = []
        listener = Listener(lambda step, loss, seen=seen: seen.append(loss))
        recipe = make(steps=40, detection=weight, start="nearest", lr=2e-3, batch=2)
        train("kgt-tiny-weather", recipe, out_dir=tmp_path / str(weight), listener=listener)
        losses[weight] = seen
    told = losses[1.0][0] - losses[0.0][0]
    assert losses[0.1][0] - losses[0.0][0] == pytest.approx(0.1 * told, rel=1e-4)
    # An untrained head is wrong by about the logarithm of 2.
    assert told == pytest.approx(np.log(2), abs=0.35)
    assert np.mean(losses[1.0][-10:]) < 0.7 * np.mean(losses[1.0][:5])


def degraded_share(recipe):
    inputs, targets = PatchSampler(recipe)[0]
    return find_degraded(inputs, targets).float().mean().item()


def test_of_several_places_the_most_degraded_is_taken():
    shares = [degraded_share(make(batch=64, patch=32, tries=tries)) for tries in (1, 2, 8)]
    assert shares[0] < shares[1] < shares[2]
    # The first place is drawn as without others, so tries change no patch that nothing covers.
    assert degraded_share(make(batch=64, patch=32)) == shares[0]


@pytest.mark.parametrize("fields", [{"tries": 2}, {"detection": 0.1}])
def test_what_is_degraded_must_show_pixel_by_pixel(fields):
    with pytest.raises(ValidationError, match="drop both"):
        make(tasks=["sr-x2"], **fields)


def test_places_are_not_chosen_where_patches_are_degraded():
    with pytest.raises(ValueError, match="tries = 2, but the inputs of demosaic are made from"):
        PatchSampler(make(tasks=["weather-rain", "demosaic"], tries=2))
