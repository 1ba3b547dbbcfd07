import json

import numpy as np
import pytest
from torch import nn

from benchmarks.data.datasets import load_dataset
from benchmarks.evaluate import main
from benchmarks.quality import Tiling, compare_tiling, evaluate
from benchmarks.quality.evaluation import restore_image
from benchmarks.tasks import get_task

TASK, SET = get_task("denoise-color-s25"), "embedded"


class Blur(nn.Module):
    """The mean of a square, which sees as far as its radius."""

    scale, in_channels, size_multiple = 1, 3, 1

    def __init__(self, radius):
        super().__init__()
        self.pool = nn.AvgPool2d(2 * radius + 1, 1, radius, count_include_pad=False)

    def forward(self, x):
        return self.pool(x)


@pytest.mark.parametrize(
    ("tiling", "text"),
    [
        (Tiling(), "whole"),
        (Tiling(256), "tile 256 overlap 32"),
        (Tiling("auto", 16, 2**29), "tile auto within 512 MiB overlap 16"),
    ],
)
def test_a_rule_says_what_it_is(tiling, text):
    assert str(tiling) == text


def test_scores_of_tiles_stand_beside_their_rule():
    dataset = load_dataset(SET)
    whole, tiled = (
        evaluate(Blur(2), TASK, dataset, tiling=rule) for rule in (Tiling(), Tiling(128, 16))
    )
    assert (whole.tiling, tiled.tiling) == ("whole", "tile 128 overlap 16")
    assert not tiled.failed
    assert tiled.metrics["psnr"] == pytest.approx(whole.metrics["psnr"], abs=1e-4)
    assert tiled.data_digest == whole.data_digest


def test_a_tile_that_does_not_fit_the_network_fails_with_the_reason():
    model = Blur(1)
    model.size_multiple = 48
    evaluation = evaluate(model, TASK, load_dataset(SET), tiling=Tiling(100))
    assert not evaluation.images
    assert all("144 works" in reason for reason in evaluation.failed.values())


def test_what_tiles_change_is_measured_per_image():
    model, dataset = Blur(12), load_dataset(SET)
    effects = compare_tiling(model, TASK, dataset, Tiling(160, 8))
    assert set(effects) == set(dataset.paths)
    pair = TASK.make_pair(dataset, next(iter(dataset)))
    whole, tiled = (
        np.floor(restore_image(model, pair.input, rule).astype(float).clip(0, 1) * 255 + 0.5)
        for rule in (Tiling(), Tiling(160, 8))
    )
    effect = next(iter(effects.values()))
    assert effect.max_steps == np.abs(whole - tiled).max() > 0
    error = [((image - pair.target) ** 2).mean() for image in (whole, tiled)]
    assert effect.gain == pytest.approx(10 * np.log10(error[0] / error[1]))
    assert {effect.tile for effect in effects.values()} == {160}


def test_images_that_fit_change_nothing():
    effects = compare_tiling(Blur(12), TASK, load_dataset(SET), Tiling("auto", byte_budget=2**34))
    found = {(effect.tile, effect.max_steps, effect.gain) for effect in effects.values()}
    assert found == {(None, 0, 0.0)}


COMMAND = ["--task", "sr-x2", "--dataset", SET, "--model", "bicubic"]


def test_the_command_compares_whole_images_with_tiles(capsys):
    tiles = ["--tile", "160", "--overlap", "8", "--compare-tiling"]
    assert main([*COMMAND, *tiles, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["tiling"] == "tile 160 overlap 8"
    # Bicubic interpolation sees two pixels far, a quarter of the overlap.
    effect = answer["per_image"]["astronaut"]
    assert (effect["tile"], effect["max_steps"], effect["gain"]) == (160, 0, 0.0)
    assert effect["psnr_tiled"] == effect["psnr_whole"] > 20
    assert main([*COMMAND, *tiles]) == 0
    assert "whole against tile 160 overlap 8" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--compare-tiling"], "add --tile"),
        (["--tile", "auto", "--byte-budget", "1", "--compare-tiling"], "need at least"),
    ],
)
def test_wrong_tiles_exit_with_2(extra, message, capsys):
    assert main([*COMMAND, *extra]) == 2
    assert message in capsys.readouterr().err


def test_a_tile_that_is_no_number_is_wrong_use(capsys):
    with pytest.raises(SystemExit, match="2"):
        main([*COMMAND, "--tile", "large"])
    assert "'large' is not a whole number" in capsys.readouterr().err
