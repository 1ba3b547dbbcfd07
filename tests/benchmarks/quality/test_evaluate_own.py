"""`evaluate` on images of one's own."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_model
from skimage.metrics import peak_signal_noise_ratio

import kgt
from benchmarks.evaluate import main


def draw(path, size=(32, 32), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with three own images, and a data root without any set."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    for seed, name in enumerate("abc"):
        draw(tmp_path / "photos" / f"{name}.png", seed=seed)
    return tmp_path


def run(arguments, capsys):
    code = main(arguments.split())
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_own_images_are_degraded_as_the_task_says(here, capsys):
    command = "--task jpeg-color-q10 --model identity --images photos --json"
    code, out, err = run(command, capsys)
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert result["dataset"].startswith("photos@")
    assert (result["images"], result["coverage"]) == (3, "3 of 3")
    assert result["degradation"].startswith("jpeg")
    assert set(result["per_image"]) == {"a", "b", "c"}


def test_own_pairs_score_as_others_measure(here, capsys):
    """The identity's PSNR is that of input and target; scikit-image measures it."""
    expected = {}
    for seed, name in enumerate("abc"):
        clean = np.array(Image.open(here / "photos" / f"{name}.png"))
        noise = np.random.default_rng(seed).integers(-9, 10, clean.shape)
        noisy = np.clip(clean + noise, 0, 255).astype(np.uint8)
        (here / "noisy").mkdir(exist_ok=True)
        Image.fromarray(noisy).save(here / "noisy" / f"{name}.webp", lossless=True)
        expected[name] = peak_signal_noise_ratio(clean, noisy)
    command = "--task denoise-color-s25 --model identity --input noisy --target photos --json"
    code, out, err = run(command, capsys)
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert result["dataset"].startswith("noisy+photos@")
    assert result["degradation"] == "shipped"
    found = {name: scores["psnr"] for name, scores in result["per_image"].items()}
    assert found == pytest.approx(expected, abs=1e-9)


def test_own_weights_are_scored_on_own_images(here, capsys):
    network = kgt.create_model("kgt-tiny-denoise-color")
    torch.nn.init.zeros_(network.conv_out.weight)
    torch.nn.init.zeros_(network.conv_out.bias)  # so that it returns its input
    save_model(network, "own.safetensors", {"model": "kgt-tiny-denoise-color"})
    common = "--task denoise-color-s25 --images photos --json"
    own, identity = (
        json.loads(run(f"{common} {model}", capsys)[1])
        for model in ("--weights own.safetensors", "--model identity")
    )
    assert own["model"] == own["weights"] == "own.safetensors"
    assert identity["weights"] is None
    for name, row in own["per_image"].items():
        assert row == pytest.approx(identity["per_image"][name], abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "one of the arguments --dataset --images --input is required"),
        ("--input photos", "--input and --target go together"),
        ("--target photos --images photos", "--input and --target go together"),
        ("--input photos --images photos", "not allowed with argument"),
        ("--images absent", "there is no folder absent"),
        ("--input photos --target empty", "empty has no images"),
        ("--input photos --target some", "2 without a target, such as photos/b.png, photos/c.png"),
        ("--input photos --target large", "a.png 64x64; a target must be of the same size"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(here, arguments, message, capsys):
    (here / "empty").mkdir()
    draw(here / "some" / "a.png")
    for name in "abc":
        draw(here / "large" / f"{name}.png", (64, 64))
    try:
        code, _, err = run(f"--task deblur --model identity {arguments}", capsys)
        assert len(err.splitlines()) == 1
    except SystemExit as error:
        code, err = error.code, capsys.readouterr().err
    assert code == 2
    assert message in err


def test_a_published_set_that_is_not_whole_is_told(here, capsys):
    for name in ("baby", "bird"):
        draw(here / "Set5" / "HR" / f"{name}.png")
    code, _, err = run("--task sr-x2 --model bicubic --dataset Set5", capsys)
    assert code == 0
    assert "warning: Set5 is not the published set: 3 more belong into" in err


def test_a_column_that_cannot_be_computed_is_left_out_and_one_sentence_says_why(
    here, capsys, monkeypatch
):
    monkeypatch.setenv("KGT_CACHE", str(here / "cache"))
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(here / "hub"))
    monkeypatch.delenv("KGT_LPIPS_BACKBONE", raising=False)
    command = "--task sr-x2 --model bicubic --images photos --protocol rgb-lpips"
    code, out, _ = run(command, capsys)
    assert code == 0
    (sentence,) = [line for line in out.splitlines() if "LPIPS is left out" in line]
    assert "`python -m benchmarks.doctor fetch lpips` fetches them (244 MB)" in sentence
    result = json.loads(run(f"{command} --json --csv scores.csv", capsys)[1])
    assert set(result["metrics"]) == {"psnr"}
    assert "AlexNet" in result["unavailable"]["lpips"]
    assert (here / "scores.csv").read_text().startswith("image,psnr,failed\n")
