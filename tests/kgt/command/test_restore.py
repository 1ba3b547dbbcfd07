import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from safetensors.torch import save_model

import baselines
import kgt
from baselines.catalog import create_any_model
from kgt.command import main
from kgt.command.restore import _OTHERS
from kgt.pictures import write
from kgt.tasks import PURPOSES
from tests.kgt.video.making import read as read_clip
from tests.kgt.video.making import write as write_clip

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
    monkeypatch.setattr("baselines.registry.WEIGHTS", weights)
    for name in (DENOISE, "kgt-tiny-x4", "kgt-tiny-demosaic", "swinir-tiny-x4"):
        network = create_any_model(name)
        save_model(network, str(weights / f"{name}.safetensors"), {"model": name})
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
    named = ["--task", task] if task else []
    return main(["restore", *map(str, arguments), *named])


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


@pytest.mark.parametrize("task", PURPOSES)
def test_every_task_has_a_network(task):
    network = create_any_model(_OTHERS.get(task, f"kgt-tiny-{PURPOSES[task].suffix}"))
    assert (network.task, network.scale) == KINDS[task]
    assert network.in_channels == 3


@pytest.mark.parametrize("task", ["sr-x4", None])
def test_networks_that_it_is_compared_with_restore_too(here, task):
    draw(here / "in.png", 9, 14, 3)
    assert restore("in.png", "-o", "out.png", "--model", "swinir-tiny-x4", task=task) == 0
    network = baselines.create_model("swinir-tiny-x4", pretrained=True).eval()
    assert np.array_equal(read("out.png"), kgt.restore_picture(network, "in.png").pixels)


@pytest.mark.parametrize(
    ("model", "task"),
    [("bicubic", "sr-x4"), ("malvar", "demosaic"), ("tv:sigma=10", "denoise-color")],
)
def test_classical_methods_restore_too(here, model, task):
    draw(here / "in.png", 9, 14, 3)
    assert restore("in.png", "-o", "out.png", "--model", model, task=task) == 0
    name, _, sigma = model.partition(":sigma=")
    method = baselines.create_model(name, **({"sigma": float(sigma)} if sigma else {}))
    assert np.array_equal(read("out.png"), kgt.restore_picture(method, "in.png").pixels)


def test_a_noise_level_goes_to_models_that_take_one(here, capsys):
    draw(here / "in.png", 9, 14, 3)
    level = ("--sigma", "10")
    assert restore("in.png", "-o", "out.png", "--model", "tv", *level, task=None) == 0
    method = baselines.create_model("tv", sigma=10.0)
    assert np.array_equal(read("out.png"), kgt.restore_picture(method, "in.png").pixels)
    assert restore("in.png", "-o", "out2.png", *level) == 2
    assert "takes none; those that do: " in (printed := capsys.readouterr().err)
    assert "ffdnet-color" in printed


def test_input_and_result_stand_side_by_side(here):
    pixels = draw(here / "in.png", 5, 7, 3)
    compare = ("--compare", "both.png")
    assert restore("in.png", "-o", "out.png", *compare, task="sr-x4") == 0
    both = read("both.png")
    assert np.array_equal(both[:, 28:], read("out.png"))
    assert np.array_equal(both[2::4, 2:28:4], pixels)
    assert restore("in.png", "-o", "other.png", *compare, task="sr-x4") == 2
    assert not (here / "other.png").exists()


def test_a_mosaic_stands_beside_its_colors(here):
    draw(here / "in.png", 9, 8)
    assert restore("in.png", "-o", "out.png", "--compare", "both.png", task="demosaic") == 0
    assert read("both.png").shape == (9, 16, 3)


def test_what_the_network_was_not_trained_on_is_told(here, capsys):
    def paint(number, width, height):
        noise = np.random.default_rng(number).normal(128, 25, (height, width, 1))
        return noise.clip(0, 255).astype(np.uint8).repeat(3, -1)

    PIL.Image.fromarray(paint(0, 80, 80)).save("gray.png")
    write_clip(here / "gray.mkv", range(2), size=(80, 80), paint=paint)
    for name, out in (("gray.png", "out.png"), ("gray.mkv", "out.mkv")):
        assert restore(name, "-o", out) == 0
        err = capsys.readouterr().err
        assert err.count("warning: ") == 1
        assert f"warning: {name} has noise that is the same" in err
        assert restore(name, "-o", out, "--model", "nl-means", "--force") == 0
        assert "warning" not in capsys.readouterr().err


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


def test_a_method_whose_package_is_missing_says_what_brings_it(here, monkeypatch, capsys):
    draw(here / "in.png", 6, 5, 3)

    def fail(*arguments):
        raise ModuleNotFoundError("No module named 'skimage'", name="skimage")

    monkeypatch.setattr("baselines.denoising.Denoiser.filter", fail)
    assert restore("in.png", "-o", "out.png", "--model", "nl-means", task=None) == 2
    assert "pip install 'kgt[bench]'" in capsys.readouterr().err
    assert not (here / "out.png").exists()


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
        (["in.png", "-o", "o"], None, "name a --task"),
        (["in.png", "-o", "o", "--k=3", "--model=bicubic"], "sr-x4", "bicubic has no number of"),
        (["in.png", "-o", "o", "--model=kgt-tiny-x5"], "sr-x4", "valid: kgt-tiny-x4, "),
        (["in.png", "in2.png", "-o", "o", "--compare=b.png"], "denoise-color", "for one picture"),
        (["in.png", "-o", "o.png", "--compare=o.png"], "denoise-color", "or its result"),
        (["in.png", "-o", "o.png", "--compare=in.png", "--force"], "denoise-color", "the picture"),
        (["in.png", "-o", "o", "--model=kgt-tiny-deblur"], "deblur", "no trained weights ship"),
        (["absent.png", "-o", "out"], "denoise-color", "match of absent.png"),
        (["in.png", "-o", "o", "--model=kgt-s-x4"], "sr-x4", "no trained weights"),
        (["in.png", "-o", "o", "--model=kgt-tiny-x4"], "denoise-color", "sr at scale 4"),
        (["in.png", "-o", "o", "--tile=33"], "denoise-color", "64 works"),
        (["in.png", "-o", "o", f"--model={DENOISE}:kk=3"], "denoise-color", "field 'kk'; valid: k"),
        (["in.png", "-o", "o", f"--model={DENOISE}:k"], "denoise-color", "NAME:field=value"),
    ],
)
def test_wrong_use_is_told(here, arguments, task, message, capsys):
    for name in ("in.png", "in2.png"):
        draw(here / name, 6, 5, 3)
    assert restore(*arguments, task=task) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in here.iterdir()) == ["in.png", "in2.png"]


@pytest.mark.parametrize(
    "arguments",
    [["--task=sharpen"], ["--task=deblur", "--k=0"], ["--task=deblur", "--tile=some"]],
)
def test_wrong_options_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(["restore", "in.png", "-o", "out.png", *arguments])
    assert error.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--task=sr-x4"], ["--model=kgt-tiny-x4"]])
def test_own_weights_are_of_the_network_that_their_file_tells(here, options, capsys):
    network = kgt.create_model("kgt-tiny-x4", depths=(1,), k=9).eval()
    save_model(network, "own.safetensors", {"model": "kgt-tiny-x4:depths=(1,):k=9"})
    draw(here / "in.png", 6, 5, 3)
    if "--model=kgt-tiny-x4" in options:
        options = ["--model=kgt-tiny-x4:depths=(1,):k=9"]
    command = ["restore", "in.png", "-o", "out.png", "--weights", "own.safetensors", "--json"]
    assert main([*command, *options]) == 0
    assert np.array_equal(read("out.png"), kgt.restore_picture(network, "in.png").pixels)
    report = json.loads(capsys.readouterr().out)
    assert (report["weights"], report["failed"]) == ("own.safetensors", {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights=absent.pth"], "there is no checkpoint absent.pth"),
        (["--weights=in.png"], "in.png is cut short, or no checkpoint"),
        (["--weights=own.safetensors", "--task=denoise-color"], "sr at scale 4"),
        (["--weights=own.safetensors", f"--model={DENOISE}"], "weights of 'kgt-tiny-x4', not of"),
        (
            ["--weights=own.safetensors", "--model=kgt-tiny-x4:depths=(1,)"],
            "left over: stages.0.layers.1",
        ),
    ],
)
def test_own_weights_that_do_not_fit_are_refused(here, options, message, capsys):
    save_model(kgt.create_model("kgt-tiny-x4"), "own.safetensors", {"model": "kgt-tiny-x4"})
    draw(here / "in.png", 6, 5, 3)
    assert main(["restore", "in.png", "-o", "out.png", *options]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert len(printed.splitlines()) == 1
    assert not (here / "out.png").exists()


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


def test_a_clip_is_restored_beside_pictures(here, capsys):
    clip = write_clip(here / "clip.mov", range(2))
    draw(here / "in.png", 9, 14, 3)
    assert restore("clip.mov", "in.png", "-o", "out", "--json") == 0
    captured = capsys.readouterr()
    assert "clip.mov -> out/clip.mp4, 64x48, 2 frames, " in captured.err
    row, _ = json.loads(captured.out)["files"]
    assert (row["out"], row["size"], row["frames"]) == ("out/clip.mp4", [64, 48], 2)
    net = kgt.create_model(DENOISE, pretrained=True).eval()
    kgt.restore_clip(net, clip, here / "python.mp4")
    for one, other in zip(
        read_clip(here / "python.mp4")[0], read_clip("out/clip.mp4")[0], strict=True
    ):
        assert np.array_equal(one, other)


def test_what_a_clip_cannot_have_is_refused(here, capsys, monkeypatch):
    write_clip(here / "clip.mkv", range(1), attachment=True)
    assert restore("clip.mkv", "-o", "out.png") == 2
    assert "suffix '.png'; written are .mp4, .mov, .mkv" in capsys.readouterr().err
    assert restore("clip.mkv", "-o", "out.mkv", "--compare", "both.png") == 2
    assert "--compare is for a picture, and clip.mkv is a clip" in capsys.readouterr().err
    assert restore("clip.mkv", "-o", "out.mkv") == 0
    assert "warning: out.mkv is without stream 1 (attachment)" in capsys.readouterr().err
    for name in [name for name in sys.modules if name.startswith("kgt.video.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "av", None)
    assert restore("clip.mkv", "-o", "other.mkv") == 2
    assert "the package av is missing here: pip install 'kgt[video]'" in capsys.readouterr().err


def test_long_runs_tell_what_is_left(here, monkeypatch, capsys):
    monkeypatch.setattr("kgt.cli._LINE_EVERY_S", 0)
    draw(here / "in" / "a.png", 6, 5, 3)
    draw(here / "in" / "b.png", 6, 5, 3)
    assert restore("in", "-o", "out") == 0
    assert "a.png, 50% of all done" in capsys.readouterr().err


def test_the_nearest_task_stands_first(capsys):
    with pytest.raises(SystemExit):
        main(["restore", "in.png", "-o", "out.png", "--task", "denoise"])
    assert "unknown value 'denoise'; valid: denoise-color, " in capsys.readouterr().err


def test_the_module_runs():
    command = [sys.executable, "-m", "kgt", "restore", "--help"]
    root = Path(kgt.__file__).parents[1]
    run = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert run.returncode == 0
    assert "usage: kgt restore" in run.stdout
    assert "examples:" in run.stdout
    assert all(task in run.stdout for task in PURPOSES)
