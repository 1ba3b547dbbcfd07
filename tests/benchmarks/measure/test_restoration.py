import json
import sys

import numpy as np
import PIL.Image
import pytest
import torch

import kgt
from benchmarks.measure import commands
from benchmarks.measure.__main__ import main
from benchmarks.measure.restoration import (
    BothWays,
    RestorationFailed,
    RestorationJob,
    RestorationRun,
    compare_restorations,
    measure_restoration,
    photograph,
    restore_both_ways,
)
from benchmarks.models import create_described

MIB = 2**20
TINY = "kgt-tiny-x4:embed_dim=12:heads=3:window=8:k=6:depths=[2]:bias_hidden=8"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")


def test_the_file_is_what_the_network_makes(tmp_path):
    image = photograph(70, 90)
    job = RestorationJob(TINY, tile=48, seed=3)
    done = []
    result = measure_restoration(job, image, tmp_path / "a.png", on_progress=done.append)
    torch.manual_seed(3)
    net = create_described(TINY).eval()
    kgt.restore_file(net, kgt.Picture(image), tmp_path / "b.png", 48)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert done[-1] == 1
    assert result.seconds > 0


def test_memory_beyond_the_limit_ends_the_child_and_leaves_nothing(tmp_path):
    job = RestorationJob(TINY, tile=None)
    with pytest.raises(RestorationFailed, match="oom"):
        measure_restoration(
            job, photograph(512, 512), tmp_path / "a.png", memory_limit_bytes=20 * MIB
        )
    assert not [*tmp_path.iterdir()]


def test_time_beyond_the_limit_ends_the_child(tmp_path):
    with pytest.raises(RestorationFailed, match=r"killed after 0.001 s"):
        measure_restoration(
            RestorationJob(TINY), photograph(64, 64), tmp_path / "a.png", timeout_s=0.001
        )


def test_effects_are_those_of_the_pixels(tmp_path):
    truth = np.full((20, 30, 3), 100, np.uint8)
    whole, tiled = truth.copy(), truth.copy()
    whole[0, 0] = 104
    tiled[0, 0] = 102
    for name, pixels in {"whole": whole, "tiled": tiled}.items():
        PIL.Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    gain, steps = compare_restorations(tmp_path / "whole.png", tmp_path / "tiled.png", truth)
    assert steps == 2
    assert gain == pytest.approx(20 * np.log10(2))


def test_rows_say_whether_the_budget_was_kept(capsys):
    command = ["restore", "--models", TINY, "--byte-budget", "60", "--json", "--output"]
    assert main([*command, "640x960"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert [*row] == [
        *(
            "model",
            "output",
            "tile",
            "seconds",
            "peak_mib",
            "budget_mib",
            "kept",
            "psnr_change",
            "steps",
        )
    ]
    assert row["output"] == "640x960"
    assert row["kept"] == (row["peak_mib"] <= 60)
    assert row["tile"].endswith("of 60 MiB")
    assert main([*command, "641x960"]) == 2
    assert "641x960 is no multiple of 4" in capsys.readouterr().err


def test_nothing_is_compared_without_a_whole_result():
    alone = restore_both_ways(RestorationJob(TINY, tile=48), photograph(256, 256), whole=False)
    assert (alone.tiled.plan, alone.whole) == ("tiles of 48", None)
    assert (alone.gain, alone.max_steps) == (None, None)


def test_whole_that_fails_ends_the_rows(monkeypatch, capsys):
    failed = RestorationFailed("oom")
    both = BothWays(RestorationRun(1.0, 1, 1, "plan"), failed)
    monkeypatch.setattr(commands, "restore_both_ways", lambda *args, **options: both)
    assert main(["restore", "--models", TINY, "--output", "64x64"]) == 3
    assert "oom" in capsys.readouterr().err
