import csv
import json
import os
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_model
from torch import nn

from baselines.catalog import create_any_model
from benchmarks.data.datasets import load_dataset
from benchmarks.data.images import combine_digests, digest_pixels, read_image
from benchmarks.evaluate import main
from benchmarks.models import load_weights
from benchmarks.quality import ImageFailed, evaluate
from benchmarks.quality.evaluation import restore_image
from benchmarks.tasks import get_task

DATA = Path(os.environ.get("KGT_DATA", "unset"))


class Nearest(nn.Module):
    """Repeats pixels, and keeps what it was given."""

    def __init__(self, scale=2, in_channels=3, dtype=torch.float32):
        super().__init__()
        self.scale = scale
        self.in_channels = in_channels
        self.bias = nn.Parameter(torch.zeros((), dtype=dtype))
        self.inputs = []
        self.modes = []

    def forward(self, x):
        self.inputs.append(x)
        self.modes.append((self.training, torch.is_inference_mode_enabled()))
        return x.repeat_interleave(self.scale, -2).repeat_interleave(self.scale, -1) + self.bias


@pytest.fixture
def set5(tmp_path, monkeypatch):
    """A data root whose Set5 has a color, a gray, and a blocky image with all x2 inputs."""
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    high, low = tmp_path / "Set5" / "HR", tmp_path / "Set5" / "LR_bicubic" / "X2"
    high.mkdir(parents=True)
    low.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, shape in {"baby": (32, 36, 3), "bird": (33, 40), "head": (36, 32, 3)}.items():
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        reduced = pixels[: shape[0] // 2 * 2 : 2, ::2]
        if name == "head":
            pixels = reduced.repeat(2, 0).repeat(2, 1)
        Image.fromarray(pixels).save(high / f"{name}.png")
        Image.fromarray(reduced).save(low / f"{name}x2.png")
    return high


def run(arguments, capsys):
    """Exit code, standard output and standard error of the command line."""
    code = main(arguments.split())
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.skipif(not (DATA / "Set5").is_dir(), reason="KGT_DATA has no Set5")
@pytest.mark.parametrize(
    ("task", "psnr", "ssim"),
    [("sr-x2", 33.673, 0.9303), ("sr-x3", 30.403, 0.8689), ("sr-x4", 28.429, 0.8111)],
)
def test_bicubic_reaches_the_published_values(task, psnr, ssim, capsys):
    code, out, _ = run(f"--task {task} --dataset Set5 --model bicubic --json", capsys)
    result = json.loads(out)
    assert code == 0
    assert result["metrics"]["psnr"] == pytest.approx(psnr, abs=5e-3)
    assert result["metrics"]["ssim"] == pytest.approx(ssim, abs=2e-4)
    assert (result["images"], result["coverage"]) == (5, "5 of 5")
    assert result["degradation"] == "shipped"
    for column, mean in result["metrics"].items():
        values = [scores[column] for scores in result["per_image"].values()]
        assert mean == pytest.approx(statistics.fmean(values))


def test_json_states_what_was_measured(capsys):
    code, out, err = run("--task sr-x4 --dataset embedded --model bicubic --json", capsys)
    result = json.loads(out)
    assert code == 0
    assert not err
    assert (result["task"], result["dataset"], result["model"]) == ("sr-x4", "embedded", "bicubic")
    assert result["protocol"] == "sr-y601-crop-scale@1"
    assert result["degradation"] == "imresize@1"
    assert set(result["per_image"]) == {"astronaut", "camera", "chelsea", "coffee"}
    assert result["failed"] == {}


def test_table_names_coverage_and_protocol(set5, capsys):
    code, out, _ = run("--task sr-x2 --dataset Set5 --model bicubic", capsys)
    assert code == 0
    for text in ("bicubic", "3 of 5", "baby", "mean of 3", "PSNR", "sr-y601-crop-scale@1"):
        assert text in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--task sr-x8 --dataset Set5 --model bicubic", "valid: sr-x4, sr-x3, sr-x2, "),
        ("--task sr-x2 --dataset Set6 --model bicubic", "valid: Set5, "),
        ("--task sr-x2 --dataset Set14 --model bicubic", "14 images expected"),
        ("--task sr-x2 --dataset Set5 --model cubic", "kgt-s-x4"),
        ("--task sr-x2 --dataset Set5 --model cubic", "swinir-m-x4"),
        ("--task sr-x2 --dataset Set5 --model bicubic --protocol p", "sr-y601-crop-scale"),
        (
            "--task sr-x2 --dataset Set5 --model identity",
            "identity is a network of scale 1, the task needs one of scale 2",
        ),
        ("--task sr-x2 --dataset Set5 --model bicubic --weights none.safetensors", "none.safet"),
        ("--task sr-x2 --dataset Set5 --weights none.pth", "none.pth"),
        ("--task sr-x2 --dataset Set5", "--model NAME, --weights FILE, or both"),
        ("--task sr-x2 --dataset Set5 --model swinir-s-x2", "no trained weights"),
        ("--task sr-x2 --dataset Set5 --model bicubic --against cubic", "swinir-m-x4"),
        ("--task deblur --dataset Set5 --model identity --protocol native", "valid: deblur-"),
    ],
)
def test_wrong_use_exits_with_2_and_one_line(set5, arguments, message, capsys):
    code, out, err = run(arguments, capsys)
    assert code == 2
    assert message in err
    assert not out
    assert err.count("\n") == 1


def test_missing_arguments_exit_with_2():
    with pytest.raises(SystemExit) as caught:
        main(["--task", "sr-x2"])
    assert caught.value.code == 2


def test_one_bad_file_does_not_end_the_set(set5, capsys):
    (set5 / "bird.png").write_bytes((set5 / "bird.png").read_bytes()[:100])
    code, out, err = run("--task sr-x2 --dataset Set5 --model bicubic --json", capsys)
    result = json.loads(out)
    assert code == 0
    assert result["images"] == 2
    assert set(result["per_image"]) == {"baby", "head"}
    assert set(result["failed"]) == {"bird"}
    assert "cut short" in result["failed"]["bird"]
    assert "bird failed" in err


def test_nothing_scored_is_a_failure(set5, capsys):
    for path in set5.iterdir():
        path.write_bytes(b"not an image")
    code, out, _ = run("--task sr-x2 --dataset Set5 --model bicubic --json", capsys)
    result = json.loads(out)
    assert code == 3
    assert result["images"] == 0
    assert result["metrics"] == {"psnr": None, "ssim": None}
    assert len(result["failed"]) == 3


def test_unforeseen_errors_exit_with_3(set5, monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError("out of order")

    monkeypatch.setattr("benchmarks.quality.evaluate", fail)
    code, _, err = run("--task sr-x2 --dataset Set5 --model bicubic", capsys)
    assert code == 3
    assert "out of order" in err


def test_strict_ends_at_a_bad_file(set5, capsys):
    (set5 / "bird.png").write_bytes(b"not an image")
    code, out, err = run("--task sr-x2 --dataset Set5 --model bicubic --strict", capsys)
    assert code == 3
    assert not out
    assert err.startswith("evaluate: bird: OSError: ")


def test_the_score_says_what_it_covers(set5, capsys):
    (set5 / "bird.png").write_bytes(b"not an image")
    _, out, _ = run("--task sr-x2 --dataset Set5 --model bicubic", capsys)
    for text in ("3 of 5 images", "mean of 2", "1 images failed and are in no mean"):
        assert text in out


def test_csv_has_a_row_per_image(set5, tmp_path, capsys):
    (set5 / "bird.png").write_bytes(b"not an image")
    path = tmp_path / "new" / "scores.csv"
    command = f"--task denoise-gray-s25 --dataset Set5 --model identity --csv {path} --json"
    _, out, _ = run(f"{command} --against bicubic", capsys)
    result = json.loads(out)
    with path.open(newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["baby", "bird", "head"]
    assert float(rows["baby"]["psnr"]) == result["per_image"]["baby"]["psnr"]
    assert float(rows["head"]["bicubic:ssim"]) == result["against"]["per_image"]["head"]["ssim"]
    assert rows["bird"]["psnr"] == ""
    assert rows["bird"]["failed"] == rows["bird"]["bicubic:failed"] == result["failed"]["bird"]


def test_two_models_are_compared_by_image(set5, capsys):
    command = "--task denoise-color-s25 --dataset Set5 --model bicubic --against identity"
    _, out, _ = run(f"{command} --json", capsys)
    result = json.loads(out)
    assert result["against"]["model"] == "identity"
    for image, scores in result["per_image"].items():
        other = result["against"]["per_image"][image]
        # Bicubic rounds to 8 bits at once, the protocol later: the same pixels.
        assert scores == pytest.approx(other, abs=1e-3)
    gain = result["gain"]["psnr"]
    assert gain["lo"] <= gain["mean"] <= gain["hi"]
    assert len(gain["differences"]) == 3
    _, out, _ = run(command, capsys)
    assert "bicubic less identity" in out
    assert f"PSNR: {gain['mean']:+.4f} [{gain['lo']:+.4f}, {gain['hi']:+.4f}] over 3 images" in out


def test_restored_images_are_saved_as_they_are_scored(set5, tmp_path, capsys):
    folder = tmp_path / "restored"
    command = f"--task sr-x2 --dataset Set5 --model bicubic --save-images {folder} --json"
    result = json.loads(run(command, capsys)[1])
    assert sorted(path.name for path in folder.iterdir()) == [
        *("baby.png", "bird.png", "comparison.png", "head.png")
    ]
    task, dataset = get_task("sr-x2"), load_dataset("Set5")
    for item in dataset:
        restored = read_image(folder / f"{item.name}.png") / 255
        scores = task.default_protocol.score(restored, task.make_pair(dataset, item).target, 2)
        assert scores == pytest.approx(result["per_image"][item.name])


def test_the_comparison_shows_input_restored_and_target(set5, tmp_path, capsys):
    folder = tmp_path / "restored"
    run(f"--task sr-x2 --dataset Set5 --model bicubic --save-images {folder}", capsys)
    picture = read_image(folder / "comparison.png")
    task, dataset = get_task("sr-x2"), load_dataset("Set5")
    found = 0
    for item in dataset:
        pair = task.make_pair(dataset, item)
        enlarged = pair.input.repeat(2, 0).repeat(2, 1)
        for panel in (enlarged, pair.target, read_image(folder / f"{item.name}.png")):
            windows = np.lib.stride_tricks.sliding_window_view(picture, panel.shape)
            found += bool((windows == panel).all(axis=(-1, -2, -3)).any())
    assert found == 9


def test_strict_raises_at_the_first_bad_file(set5):
    (set5 / "bird.png").write_bytes(b"not an image")
    with pytest.raises(ImageFailed, match=r"^bird: OSError: .*fetch it anew"):
        evaluate(Nearest(), get_task("sr-x2"), load_dataset("Set5"), strict=True)


def test_identical_images_are_exact_and_in_no_mean(set5):
    evaluation = evaluate(Nearest(), get_task("sr-x2"), load_dataset("Set5"), name="nearest")
    scores = evaluation.per_image
    assert evaluation.model == "nearest"
    assert evaluation.exact == 1
    assert evaluation.images == 3
    assert scores["head"]["psnr"] == "exact"
    others = [scores[name]["psnr"] for name in ("baby", "bird")]
    assert evaluation.metrics["psnr"] == pytest.approx(statistics.fmean(others))
    assert scores["head"]["ssim"] == pytest.approx(1)


def test_gray_is_repeated_for_a_color_network(set5):
    color = Nearest()
    evaluate(color, get_task("sr-x2"), load_dataset("Set5"))
    assert [x.shape for x in color.inputs] == [(1, 3, 16, 18), (1, 3, 16, 20), (1, 3, 18, 16)]
    assert torch.equal(color.inputs[1][:, :1].expand(-1, 3, -1, -1), color.inputs[1])


def test_gray_tasks_take_networks_of_either_kind(set5):
    color, gray = Nearest(scale=1), Nearest(scale=1, in_channels=1)
    task, dataset = get_task("denoise-gray-s25"), load_dataset("Set5")
    assert evaluate(color, task, dataset).per_image == evaluate(gray, task, dataset).per_image
    assert gray.inputs[1].shape == (1, 1, 33, 40)
    assert torch.equal(color.inputs[1][:, :1], gray.inputs[1])


def test_a_gray_network_is_refused_by_a_color_task(set5):
    with pytest.raises(ValueError, match="sr-x2 needs a model of 3 channels, got one of 1"):
        evaluate(Nearest(in_channels=1), get_task("sr-x2"), load_dataset("Set5"))


def test_float_inputs_are_not_scaled_or_clipped():
    model = Nearest(scale=1)
    image = np.array([[-0.5, 0.25], [1.0, 1.75]], np.float32)
    assert np.array_equal(restore_image(model, image)[..., 0], image)
    pixels = np.array([[0, 51], [255, 102]], np.uint8)
    np.testing.assert_allclose(restore_image(model, pixels)[..., 0], pixels / 255, rtol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_runs_in_inference_mode_and_restores_the_mode(set5, training):
    model = Nearest().train(training)
    evaluate(model, get_task("sr-x2"), load_dataset("Set5"))
    assert model.modes == [(False, True)] * 3
    assert model.training is training


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_input_takes_the_dtype_of_the_parameters(set5, dtype):
    model = Nearest(dtype=dtype)
    evaluation = evaluate(model, get_task("sr-x2"), load_dataset("Set5"))
    assert {x.dtype for x in model.inputs} == {dtype}
    assert not evaluation.failed


def test_progress_wraps_the_images(set5):
    seen = []

    def note(items):
        for item in items:
            seen.append(item.name)
            yield item

    evaluate(Nearest(), get_task("sr-x2"), load_dataset("Set5"), progress=note)
    assert seen == ["baby", "bird", "head"]


def test_data_digest_covers_inputs_and_targets(set5):
    task, dataset = get_task("sr-x2"), load_dataset("Set5")
    pairs = [task.make_pair(dataset, item) for item in dataset]
    expected = combine_digests(
        digest_pixels(x) for pair in pairs for x in (pair.input, pair.target)
    )
    assert evaluate(Nearest(), task, dataset).data_digest == expected
    path = set5.parent / "LR_bicubic" / "X2" / "babyx2.png"
    Image.fromarray(255 - np.array(Image.open(path))).save(path)
    assert evaluate(Nearest(), task, dataset).data_digest != expected


def test_weights_are_loaded(set5, tmp_path, capsys):
    path = tmp_path / "net.safetensors"
    model = create_any_model("swinir-tiny-x2")
    save_model(model, str(path))
    command = "--task sr-x2 --dataset Set5 --model swinir-tiny-x2 --json"
    code, out, err = run(f"{command} --weights {path}", capsys)
    assert code == 0, err
    expected = evaluate(model, get_task("sr-x2"), load_dataset("Set5"))
    result = json.loads(out)
    for image, scores in result["per_image"].items():
        assert scores == pytest.approx(expected.per_image[image])
    assert (result["model"], result["weights"]) == ("swinir-tiny-x2", str(path))
    rival = f"--against swinir-tiny-x2 --against-weights {path}"
    code, out, err = run(f"{command.removesuffix('--json')} --weights {path} {rival}", capsys)
    assert code == 0, err
    named = f"swinir-tiny-x2 with {path}"
    assert f"{named} on Set5" in out
    assert f"{named} less {named}, mean" in out
    code, _, err = run(f"{command.replace('x2', 'x4')} --weights {path}", capsys)
    assert code == 2


def test_weights_of_another_model_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    save_model(nn.Linear(2, 2), str(path))
    with pytest.raises(ValueError, match=r"net\.safetensors does not fit"):
        load_weights(nn.Linear(3, 2), path)
    path.write_bytes(b"not a safetensors file")
    with pytest.raises(ValueError, match="no checkpoint"):
        load_weights(nn.Linear(2, 2), path)


@pytest.mark.parametrize("name", ["kgt-tiny-x2", "bicubic"])
def test_models_of_both_packages_are_found(name):
    assert create_any_model(name).task == "sr"
    with pytest.raises(ValueError, match="no_such_field"):
        create_any_model(name, no_such_field=1)
