from dataclasses import replace
from urllib.error import URLError

import pytest

import kgt
from benchmarks.data.datasets import load_dataset
from benchmarks.plan.quality import run_quality_cell, run_training_cell
from benchmarks.tasks import TASKS, get_task
from benchmarks.training import cards
from benchmarks.training.loop import train
from benchmarks.training.recipes import Recipe
from tests.benchmarks.making import make_cell


def run(tmp_path, **fields):
    cell = make_cell("quality", **fields)
    return run_quality_cell(cell, tmp_path, lambda what, fraction: None)


def test_a_method_without_weights_is_scored_on_every_image(tmp_path):
    result = run(
        tmp_path,
        task="jpeg-gray-q10",
        dataset="embedded",
        model="identity",
        protocol="jpeg-gray@1",
    )
    assert set(result.scores) == {"psnr", "ssim", "psnr_b"}
    assert [result.scores[name].unit for name in ("psnr", "ssim", "psnr_b")] == ["dB", "", "dB"]
    assert list(result.per_image) == list(load_dataset("embedded").paths)
    assert result.tiling == "whole"
    degradation = get_task("jpeg-gray-q10").degradation(load_dataset("embedded"))
    assert result.degradation == degradation


@pytest.mark.parametrize("dataset", ["embedded", "GoPro"])
def test_a_network_without_trained_weights_is_not_scored(tmp_path, dataset):
    result = run(tmp_path, task="deblur", dataset=dataset, model="kgt-u", protocol="deblur-rgb@1")
    assert result.status == "unsupported"
    assert "no trained weights ship for 'kgt-u'" in result.reason


def test_an_absent_set_is_named_without_the_machines_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    result = run(
        tmp_path, task="deblur", dataset="GoPro", model="identity", protocol="deblur-rgb@1"
    )
    assert result.status == "unsupported"
    assert "GoPro is absent: 1,111 images expected" in result.reason
    assert str(tmp_path) not in result.reason


def test_weights_that_cannot_be_fetched_are_named_without_the_machines_paths(tmp_path, monkeypatch):
    def refuse(address, timeout):
        raise URLError("Name or service not known")

    monkeypatch.setattr("baselines.pretrained.urlopen", refuse)
    monkeypatch.setenv("KGT_CACHE", str(tmp_path))
    monkeypatch.delenv("KGT_WEIGHTS", raising=False)
    rules = "sr-y601-crop-scale@1"
    result = run(tmp_path, task="sr-x4", dataset="Set5", model="smfanet-x4", protocol=rules)
    assert result.status == "unsupported"
    for fact in ("SMFANet_DF2K_100w_x4SR.pth", "https://raw.githubusercontent.com", "KGT_WEIGHTS"):
        assert fact in result.reason
    assert str(tmp_path) not in result.reason


def test_a_protocol_whose_rules_have_changed_is_refused(tmp_path):
    with pytest.raises(ValueError, match="asks for protocol native@0, the rules are native@1"):
        run(
            tmp_path,
            task="weather-rain",
            dataset="embedded",
            model="identity",
            protocol="native@0",
        )


RECIPE = Recipe(
    name="mini",
    version=1,
    tasks=["sr-x2"],
    datasets=["embedded"],
    images=["coins"],
    steps=20,
    batch=1,
    patch=16,
    start="nearest",
    lr=1e-4,
)


@pytest.fixture
def shipped(tmp_path, monkeypatch, without_data):
    """A network that ships: its name."""
    name, folder = "kgt-tiny-x2", tmp_path / "weights"
    monkeypatch.setitem(TASKS, "sr-x2", replace(TASKS["sr-x2"], test_sets=("embedded",)))
    monkeypatch.setattr("kgt.zoo.WEIGHTS", folder)
    cards.ship(name, RECIPE, train(name, RECIPE, out_dir=tmp_path))
    return name


def test_a_network_that_ships_says_its_recipe_and_its_gain_over_bicubic(shipped, tmp_path):
    fields = {"task": "sr-x2", "dataset": "embedded", "protocol": "sr-y601-crop-scale@1"}
    own, plain = (run(tmp_path, model=model, **fields) for model in (shipped, "bicubic"))
    assert own.trained == "mini@1"
    assert plain.trained is None
    gain = own.scores["psnr"].value - plain.scores["psnr"].value
    assert own.gain.value == pytest.approx(gain)


def test_the_training_of_a_network_that_ships_is_read_from_its_log(shipped, tmp_path):
    cell = make_cell("training", model=shipped)
    result = run_training_cell(cell, tmp_path, lambda what, fraction: None)
    network = kgt.create_model(shipped)
    assert result.parameters.value == sum(p.numel() for p in network.parameters())
    assert (result.trained, result.steps, result.loss_every) == ("mini@1", 20, 10)
    assert len(result.loss.samples) == 2
    assert result.loss.value == result.loss.samples[-1] > 0
    assert result.training_time.value > 0


def test_there_is_no_training_of_a_network_without_weights(tmp_path):
    cell = make_cell("training", model="kgt-u")
    result = run_training_cell(cell, tmp_path, lambda what, fraction: None)
    assert result.status == "unsupported"
    assert "no trained weights ship for 'kgt-u'" in result.reason
