import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from safetensors.torch import save_model

import kgt
from baselines.__main__ import NETWORKS as BASELINES
from kgt.__main__ import NETWORKS as KGT
from kgt.command import main
from kgt.pictures import write
from kgt.tasks import PURPOSES

DENOISE = "kgt-tiny-denoise-color"
# Task and scale of the networks that each task of the command line is for.
KINDS = {
    "denoise-color": ("denoise", 1),
    "jpeg-color": ("jpeg", 1),
    "sr-x4": ("sr", 4),
    "demosaic": ("demosaic", 1),
    "deblur": ("deblur", 1),
    "weather": ("weather", 1),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, and random weights where trained ones ship."""
    weights = tmp_path / "weights"
    weights.mkdir()
    monkeypatch.setattr("kgt.zoo.WEIGHTS", weights)
    for name in (DENOISE, "kgt-tiny-x4", "kgt-tiny-demosaic"):
        save_model(kgt.create_model(name), str(weights / f"{name}.safetensors"), {"model": name})
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def draw(path, *shape, **fields):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path.parent.mkdir(exist_ok=True)
    PIL.Image.fromarray(pixels).save(path, **fields)
    return pixels


def restore(*arguments, task="denoise-color"):
    return main(["restore", *map(str, arguments), "--task", task], KGT)


def read(path):
    with PIL.Image.open(path) as file:
        return np.array(file)


@pytest.mark.parametrize("options", [{}, {"k": 5}])
def test_a_file_becomes_what_python_makes_of_it(here, options, capsys):
    draw(here / "in.jpg", 20, 33, 3)
    assert restore("in.jpg", "-o", "out.png", *(f"--{k}={v}" for k, v in options.items())) == 0
    net = kgt.create_model(DENOISE, pretrained=True, **options).eval()
    assert np.array_equal(read("out.png"), kgt.restore_picture(net, "in.jpg").pixels)
    captured = capsys.readouterr()
    assert "in.jpg -> out.png, 33x20" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("networks", [KGT, BASELINES])
@pytest.mark.parametrize("task", PURPOSES)
def test_every_task_has_a_network(networks, task):
    network = networks.create_model(networks.default(task), False)
    assert (network.task, network.scale) == KINDS[task]
    assert network.in_channels == 3


def test_pictures_grow_by_the_scale_of_their_task(here):
    draw(here / "in.png", 5, 7, 4)
    assert restore("in.png", "-o", "out.webp", task="sr-x4") == 0
    assert read("out.webp").shape == (20, 28, 4)


def test_a_mosaic_becomes_a_color_picture(here):
    draw(here / "in.png", 9, 8)
    assert restore("in.png", "-o", "out.png", task="demosaic") == 0
    assert read("out.png").shape == (9, 8, 3)


def test_folders_keep_their_shape_and_json_tells_of_all(here, capsys):
    draw(here / "in" / "a.png", 6, 5, 3)
    draw(here / "in" / "x" / "b.jpg", 3, 4)
    assert restore("in", "-o", "out", "--json") == 0
    assert read("out/a.png").shape == (6, 5, 3)
    assert read("out/x/b.png").shape == (3, 4)
    report = json.loads(capsys.readouterr().out)
    assert (report["task"], report["model"]) == ("denoise-color", DENOISE)
    assert report["failed"] == {}
    assert [(row["in"], row["out"], row["size"]) for row in report["files"]] == [
        ("in/a.png", "out/a.png", [5, 6]),
        ("in/x/b.jpg", "out/x/b.png", [4, 3]),
    ]
    assert all(row["seconds"] >= 0 for row in report["files"])


def test_a_broken_file_is_told_and_the_others_are_restored(here, capsys):
    draw(here / "in" / "a.png", 6, 5, 3)
    (here / "in" / "b.png").write_text("no picture")
    draw(here / "in" / "c.png", 6, 5, 3)
    assert restore("in", "-o", "out", "--json") == 3
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert [row["in"] for row in report["files"]] == ["in/a.png", "in/c.png"]
    assert "no picture" in report["failed"]["in/b.png"]
    assert "in/b.png failed" in captured.err
    assert sorted(path.name for path in (here / "out").iterdir()) == ["a.png", "c.png"]


def test_nothing_is_overwritten_without_force(here, capsys):
    draw(here / "in.png", 6, 5, 3)
    (here / "out.png").write_text("older")
    assert restore("in.png", "-o", "out.png") == 2
    assert "out.png exists; --force" in capsys.readouterr().err
    assert (here / "out.png").read_text() == "older"
    assert restore("in.png", "-o", "out.png", "--force") == 0
    assert read("out.png").shape == (6, 5, 3)


@pytest.mark.parametrize(
    ("arguments", "task", "message"),
    [
        (["absent.png", "-o", "out"], "weather", "no trained weights ship for 'kgt-tiny-weather'"),
        (["in.png", "-o", "o", "--model=kgt-tiny-deblur"], "deblur", "no trained weights ship"),
        (["absent.png", "-o", "out"], "denoise-color", "match of absent.png"),
        (["in.png", "-o", "o", "--model=swinir-tiny-x4"], "sr-x4", "python -m baselines restore"),
        (["in.png", "-o", "o", "--model=kgt-s-x4"], "sr-x4", "no trained weights"),
        (["in.png", "-o", "o", "--model=kgt-tiny-x4"], "denoise-color", "sr at scale 4"),
        (["in.png", "-o", "o", "--tile=33"], "denoise-color", "64 works"),
        (["in.png", "-o", "o", f"--model={DENOISE}:kk=3"], "denoise-color", "field 'kk'; valid: k"),
        (["in.png", "-o", "o", f"--model={DENOISE}:k"], "denoise-color", "NAME:field=value"),
    ],
)
def test_wrong_use_is_told(here, arguments, task, message, capsys):
    draw(here / "in.png", 6, 5, 3)
    assert restore(*arguments, task=task) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["in.png"]


@pytest.mark.parametrize(
    "arguments",
    [["--task=sharpen"], ["--task=deblur", "--k=0"], ["--task=deblur", "--tile=some"], []],
)
def test_wrong_options_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(["restore", "in.png", "-o", "out.png", *arguments], KGT)
    assert error.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_more_keys_than_tokens_are_told(here, capsys):
    draw(here / "in.png", 6, 5, 3)
    assert restore("in.png", "-o", "out.png", "--k", 100) == 0
    printed = capsys.readouterr().err
    assert "of windows of 8x8, all 64 tokens are keys" in printed
    assert "16x16" not in printed


@pytest.mark.parametrize("tile", ["whole", "64", "auto"])
def test_tiles_are_those_of_python(here, tile):
    draw(here / "in.png", 70, 100, 3)
    options = ("--tile", tile, "--byte-budget", 64)
    assert restore("in.png", "-o", "out.png", *options) == 0
    net = kgt.create_model(DENOISE, pretrained=True).eval()
    argument = {"whole": None, "auto": "auto", "64": 64}[tile]
    expected = kgt.restore_picture(net, "in.png", argument, byte_budget=64 * 2**20)
    assert np.array_equal(read("out.png"), expected.pixels)


def test_an_interrupted_run_leaves_nothing_half_done(here, monkeypatch, capsys):
    draw(here / "in" / "a.png", 6, 5, 3)
    draw(here / "in" / "b.png", 6, 5, 3)
    encode = write._encode
    count = iter(range(2))

    def interrupt(*arguments):
        encode(*arguments)
        if next(count):
            raise KeyboardInterrupt

    monkeypatch.setattr(write, "_encode", interrupt)
    assert restore("in", "-o", "out") == 3
    assert "interrupted" in capsys.readouterr().err
    assert [path.name for path in (here / "out").iterdir()] == ["a.png"]


def test_long_runs_tell_what_is_left(here, monkeypatch, capsys):
    monkeypatch.setattr("kgt.cli._LINE_EVERY_S", 0)
    draw(here / "in" / "a.png", 6, 5, 3)
    draw(here / "in" / "b.png", 6, 5, 3)
    assert restore("in", "-o", "out") == 0
    assert "a.png, 50% of all done" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["kgt", "baselines"])
def test_the_module_runs(package):
    command = [sys.executable, "-m", package, "restore", "--help"]
    root = Path(kgt.__file__).parents[1]
    run = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert run.returncode == 0
    assert f"usage: python -m {package} restore" in run.stdout
    assert f"{package}.list_models" in run.stdout
    assert all(task in run.stdout for task in PURPOSES)
