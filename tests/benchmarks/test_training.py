import itertools
import json
import resource
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pydantic import ValidationError
from safetensors import safe_open

import kgt
from benchmarks.models import create_any_model, load_weights
from benchmarks.quality import load_dataset
from benchmarks.quality.datasets import MANIFEST, Split
from benchmarks.quality.degradations import Degradation
from benchmarks.quality.tasks import TASKS
from benchmarks.train import main
from benchmarks.training import (
    Listener,
    PatchSampler,
    Recipe,
    TrainingDiverged,
    list_recipes,
    load_recipe,
    loop,
    run_folder,
    train,
)
from benchmarks.training.start import start_as_nearest

FIELDS = {
    "name": "mini",
    "version": 1,
    "tasks": ["sr-x2"],
    "datasets": ["embedded"],
    "images": ["coins"],
    "steps": 13,
    "batch": 1,
    "patch": 16,
    "lr": 1e-3,
    "warmup": 0.2,
    "clip_grad_norm": 1.0,
    "checkpoint_every_s": 0,
}
MINI = Recipe(**FIELDS)
MODEL = "swinir-tiny-x2"
DECIMATION = {"": Degradation("decimation", 1, lambda target, name: target[::2, ::2])}


class Stop(Exception):  # noqa: N818
    """What the tests interrupt a training with."""


def stop_at(last):
    def on_step(step, loss):
        if step == last:
            raise Stop

    return Listener(on_step)


def checkpoint_in(folder, model=MODEL):
    return run_folder(model, MINI, folder) / "checkpoint.pt"


def change(**fields):
    return Recipe(**{**FIELDS, **fields})


def read_tensors(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def assert_same(first, second):
    assert first.weights_digest == second.weights_digest
    assert first.losses == second.losses
    left, right = read_tensors(first.weights)[0], read_tensors(second.weights)[0]
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Returns a function that makes a train set of images; inputs keep every second pixel."""
    folder = tmp_path / "toy"
    folder.mkdir()
    task = replace(TASKS["sr-x2"], degradations=DECIMATION)
    monkeypatch.setitem(TASKS, "sr-x2", task)

    def make(**images):
        for name, pixels in images.items():
            Image.fromarray(pixels).save(folder / f"{name}.png")
        monkeypatch.setitem(MANIFEST, "toy", {"train": Split(str(folder), len(images))})
        return {"datasets": ["toy"], "images": ()}

    return make


def test_every_recipe_names_what_exists():
    assert "sr-smoke" in list_recipes()
    for name in list_recipes():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert set(recipe.tasks) <= set(TASKS)
        if recipe.datasets == ("embedded",):
            assert set(recipe.images) <= set(load_dataset("embedded", split="train").paths)


def test_unknown_recipe_lists_the_valid_names():
    with pytest.raises(ValueError, match=r"'sr-smoker'.*sr-smoke"):
        load_recipe("sr-smoker")


@pytest.mark.parametrize(
    "fields",
    [
        {"split": "test"},
        {"steps": 0},
        {"optimizer": "sgd"},
        {"schedule": "step"},
        {"schedule": (0.5, 1.5)},
        {"k": ()},
        {"k": 0},
        {"name": "a/b"},
        {"warmup": 1},
        {"tasks": []},
        {"loss": "l2"},
        {"ema": 1.0},
        {"precision": "float16"},
    ],
)
def test_invalid_recipes_are_refused(fields):
    with pytest.raises(ValidationError, match=next(iter(fields))):
        change(**fields)


def test_digest_covers_the_content():
    digests = {
        change(**fields).digest
        for fields in (
            {},
            {"version": 2},
            {"lr": 2e-3},
            {"k": 4},
            {"k": (4, 8)},
            {"images": ["moon"]},
            {"schedule": (0.5,)},
            {"clip_grad_norm": None},
            {"start": "nearest"},
            {"ema": 0.9},
            {"loss": "charbonnier"},
            {"precision": "bfloat16"},
        )
    }
    assert len(digests) == 12
    traceless = change(checkpoint_every_s=9, validate_every=7)
    assert traceless.digest == MINI.digest
    assert Recipe(**FIELDS).digest == MINI.digest
    assert MINI.replace(steps=13).digest == MINI.digest != MINI.replace(steps=14).digest


@pytest.mark.parametrize("schedule", ["cosine", (0.5, 0.8, 0.9)])
def test_schedule_is_that_of_torch(schedule):
    recipe = change(steps=40, schedule=schedule, warmup=0)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=recipe.lr)
    schedulers = torch.optim.lr_scheduler
    scheduler = (
        schedulers.CosineAnnealingLR(optimizer, 40)
        if schedule == "cosine"
        else schedulers.MultiStepLR(optimizer, [int(40 * part) for part in schedule], gamma=0.5)
    )
    for step in range(40):
        assert recipe.learning_rate(step) == pytest.approx(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()


def test_warmup_is_linear():
    recipe = change(steps=100, warmup=0.1, schedule=(0.9,))
    rates = [recipe.learning_rate(step) for step in range(11)]
    assert rates == pytest.approx([*(1e-4 * n for n in range(1, 11)), 1e-3])


def test_batches_depend_on_seed_and_step_alone():
    recipe = change(batch=3)
    first, second = PatchSampler(recipe), PatchSampler(change(batch=3, steps=99, lr=1))
    forward = [first[step] for step in range(4)]
    backward = [second[step] for step in (3, 2, 1, 0)][::-1]
    for (lr, hr), (lr_again, hr_again) in zip(forward, backward, strict=True):
        assert torch.equal(lr, lr_again)
        assert torch.equal(hr, hr_again)
    inputs = [lr for lr, _ in forward]
    inputs.append(PatchSampler(change(batch=3, seed=1))[0][0])
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(inputs, 2))


def test_batches_are_aligned_and_take_all_symmetries(toy):
    codes = np.arange(240, dtype=np.uint8).reshape(16, 15)
    recipe = change(**toy(codes=codes.repeat(2, 0).repeat(2, 1)), batch=64, patch=4)
    lr, hr = PatchSampler(recipe)[0]
    assert lr.shape == (64, 3, 4, 4)
    assert hr.shape == (64, 3, 8, 8)
    assert lr.dtype == hr.dtype == torch.float32
    assert torch.equal(hr, lr.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert torch.equal(lr, lr[:, :1].expand_as(lr))
    values = (lr[:, 0] * 255).round().int()
    steps_right = {(int(v[0, 1] - v[0, 0]), int(v[1, 0] - v[0, 0])) for v in values}
    assert steps_right == {
        *itertools.product((1, -1), (15, -15)),
        *itertools.product((15, -15), (1, -1)),
    }


def test_every_position_can_be_drawn(toy):
    codes = np.arange(36, dtype=np.uint8).reshape(6, 6)
    recipe = change(**toy(codes=codes.repeat(2, 0).repeat(2, 1)), batch=500, patch=4)
    corners = (PatchSampler(recipe)[0][0][:, 0] * 255).round().amin((1, 2)).int()
    assert set(corners.tolist()) == {0, 1, 2, 6, 7, 8, 12, 13, 14}


def test_starting_as_nearest_gives_nearest_neighbor_interpolation():
    x = torch.rand(1, 3, 16, 20)
    nearest = x.repeat_interleave(4, 2).repeat_interleave(4, 3)
    for name in ("kgt-tiny-x4", "swinir-tiny-x4"):
        model = create_any_model(name)
        assert not torch.allclose(model(x), nearest, atol=0.05)
        start_as_nearest(model)
        # The head keeps a little of its random weights, so that its channels can part.
        assert (model(x) - nearest).abs().mean() < 0.02
    with pytest.raises(ValueError, match="Bicubic cannot start"):
        start_as_nearest(create_any_model("bicubic"))


def test_images_are_weighted_by_their_pixels(toy):
    dark, bright = np.zeros((40, 40), np.uint8), np.full((40, 120, 3), 255, np.uint8)
    recipe = change(**toy(dark=dark, bright=bright), batch=2000, patch=2)
    assert PatchSampler(recipe)[0][0].mean().item() == pytest.approx(0.75, abs=0.04)


def test_small_images_are_left_out(toy):
    small, large = np.zeros((20, 60), np.uint8), np.full((31, 33), 255, np.uint8)
    fields = toy(small=small, large=large)
    assert PatchSampler(change(**fields, patch=15, batch=20))[0][0].min() == 1
    with pytest.raises(ValueError, match=r"toy is as large as a patch of 32 pixels"):
        PatchSampler(change(**fields, patch=16))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"images": ["coins", "lena"]}, "no image lena in .*valid names: brick, .*text"),
        ({"images": ["astronaut"]}, "no image astronaut"),
        ({"datasets": ["Set5"]}, "no 'train' split"),
    ],
)
def test_data_that_may_not_be_used_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        PatchSampler(change(**fields))


def test_data_digest_covers_the_images_in_use():
    digest = PatchSampler(MINI).digest
    assert PatchSampler(change(seed=5, batch=2)).digest == digest
    assert PatchSampler(change(images=["coins", "moon"])).digest != digest
    assert PatchSampler(change(tasks=["sr-x4"])).digest != digest


@pytest.mark.parametrize(("model", "fields"), [(MODEL, {}), ("kgt-tiny-x2", {"k": (16, 32, 300)})])
def test_resumed_training_equals_the_uninterrupted_one(model, fields, tmp_path):
    recipe = change(**fields)
    whole = train(model, recipe, out_dir=tmp_path / "whole")
    for last in (1, 4, 11):
        with pytest.raises(Stop):
            train(model, recipe, out_dir=tmp_path / "parts", listener=stop_at(last))
    seen = []
    resumed = train(
        model,
        recipe,
        out_dir=tmp_path / "parts",
        listener=Listener(lambda *step: seen.append(step[0])),
    )
    assert seen == [11, 12, 13]
    assert_same(whole, resumed)
    assert resumed.steps == 13
    assert [point.step for point in resumed.losses] == [10, 13]


def test_loss_curve_holds_window_means_rates_and_k(tmp_path):
    recipe = change(k=(16, 32, 64), steps=12)
    losses = []
    result = train(
        "kgt-tiny-x2",
        recipe,
        out_dir=tmp_path,
        listener=Listener(lambda _, loss: losses.append(loss)),
    )
    first, last = result.losses
    assert first.loss == pytest.approx(sum(losses[:10]) / 10)
    assert last.loss == pytest.approx(sum(losses[10:]) / 2)
    assert (first.lr, last.lr) == (recipe.learning_rate(9), recipe.learning_rate(11))
    sampler = kgt.KSampler((16, 32, 64), seed=recipe.seed)
    assert (first.k, last.k) == (sampler.draw(9), sampler.draw(11))
    assert {stage.k for stage in result.model.stages} == {result.model.config.k}


def test_fixed_k_is_the_k_of_every_step(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(kgt.KGT, "set_k", lambda self, k: seen.append(k))
    train("kgt-tiny-x2", change(k=7, steps=2), out_dir=tmp_path)
    assert seen[:2] == [7, 7]


def test_training_learns(tmp_path, toy):
    ramp = np.arange(0, 256, 8, dtype=np.uint8)
    recipe = change(**toy(ramp=np.tile(ramp, (32, 1))), steps=30, warmup=0.05)
    result = train(MODEL, recipe, out_dir=tmp_path)
    losses = [point.loss for point in result.losses]
    assert losses[-1] < 0.5 * losses[0]
    assert result.wall_s > 0


def test_a_finished_training_is_not_repeated(tmp_path):
    recipe = change(steps=2)
    first = train(MODEL, recipe, out_dir=tmp_path)
    again = train(MODEL, recipe, out_dir=tmp_path, listener=stop_at(1))
    assert_same(first, again)
    assert again.wall_s == first.wall_s
    assert not again.model.training
    with pytest.raises(Stop):
        train(MODEL, recipe, out_dir=tmp_path, listener=stop_at(1), fresh=True)


def test_the_seed_decides_the_weights_and_nothing_else_is_touched(tmp_path):
    before = torch.random.get_rng_state()
    digests = [
        train(MODEL, change(steps=1, seed=seed), out_dir=tmp_path / str(run)).weights_digest
        for run, seed in enumerate((3, 3, 4))
    ]
    assert digests[0] == digests[1] != digests[2]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_checkpoint_of_another_recipe_is_refused(tmp_path):
    train(MODEL, change(steps=1), out_dir=tmp_path)
    message = rf"{MODEL}--mini--seed1234/checkpoint\.pt is of recipe .*--fresh"
    with pytest.raises(ValueError, match=message):
        train(MODEL, change(steps=2), out_dir=tmp_path)
    assert train(MODEL, change(steps=2), out_dir=tmp_path, fresh=True).steps == 2


@pytest.mark.parametrize("what", ["code", "data"])
def test_a_checkpoint_from_before_a_change_is_refused_resumed_or_dropped(
    what, tmp_path, monkeypatch, caplog
):
    recipe = change(steps=2)
    with pytest.raises(Stop):
        train(MODEL, recipe, out_dir=tmp_path, listener=stop_at(2))
    if what == "code":
        monkeypatch.setattr("benchmarks.training.loop.digest_sources", lambda subject: "other")
    else:
        task = replace(TASKS["sr-x2"], degradations=DECIMATION)
        monkeypatch.setitem(TASKS, "sr-x2", task)
    with pytest.raises(ValueError, match=rf"other {what}, after 1 steps; .*--stale resume"):
        train(MODEL, recipe, out_dir=tmp_path)
    seen = []
    listener = Listener(lambda step, _: seen.append(step))
    result = train(MODEL, recipe, out_dir=tmp_path, listener=listener, stale="resume")
    assert seen == [2]
    assert "+" in read_tensors(result.weights)[1][f"{what}_digest"]
    with pytest.raises(Stop):
        train(MODEL, change(steps=1), out_dir=tmp_path / "b", listener=stop_at(1))
    train(MODEL, change(steps=1), out_dir=tmp_path / "b")
    monkeypatch.setattr("benchmarks.training.loop.digest_sources", lambda subject: "third")
    with pytest.raises(Stop):
        train(MODEL, change(steps=1), out_dir=tmp_path / "b", listener=stop_at(1), stale="restart")
    assert "is of other code; training starts over" in caplog.text


def test_an_unreadable_checkpoint_is_refused(tmp_path):
    path = checkpoint_in(tmp_path)
    path.parent.mkdir()
    for content in (b"", b"not a checkpoint"):
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"checkpoint\.pt is damaged or no checkpoint; .*--fresh"
        ):
            train(MODEL, MINI, out_dir=tmp_path)


def test_a_failed_write_leaves_the_checkpoint_before(tmp_path):
    recipe = change(steps=3)
    with pytest.raises(Stop):
        train(MODEL, recipe, out_dir=tmp_path, listener=stop_at(2))
    path = checkpoint_in(tmp_path)
    before, names = path.read_bytes(), {file.name for file in path.parent.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(
            OSError, match=r"cannot write .* bytes to .*checkpoint\.pt: .*untouched"
        ):
            train(MODEL, recipe, out_dir=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {file.name for file in path.parent.iterdir()} == names
    assert path.read_bytes() == before


def test_a_loss_that_grows_tenfold_ends_the_training(tmp_path, monkeypatch):
    """The network is whole, but has left the valley it was in; its checkpoint is of before."""
    measure = loop._Run._measure_loss
    monkeypatch.setattr(
        loop._Run,
        "_measure_loss",
        lambda self, batch: measure(self, batch) * (1 if self.state.step < 10 else 1000),
    )
    with pytest.raises(TrainingDiverged, match=r"diverged at step 20: the loss of the last 10 "):
        train(MODEL, change(steps=30, lr=1e-9), out_dir=tmp_path)
    assert torch.load(checkpoint_in(tmp_path))["step"] == 19


def test_weights_that_are_not_finite_are_never_kept(tmp_path):
    def poison(step, loss):
        if step == 2:
            model.conv_first.weight.data[0] = torch.nan

    create = loop._create_model

    def remember(name, recipe):
        nonlocal model
        model = create(name, recipe)
        return model

    model = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_create_model", remember)
        with pytest.raises(TrainingDiverged, match=r"conv_first\.weight is not finite"):
            train(MODEL, MINI, out_dir=tmp_path, listener=Listener(poison))
    assert torch.load(checkpoint_in(tmp_path))["step"] == 1


@pytest.mark.parametrize("model", [MODEL, "kgt-tiny-x2"])
def test_divergence_names_step_and_checkpoint(model, tmp_path):
    recipe = change(lr=1e30, warmup=0, clip_grad_norm=None)
    message = rf"diverged at step 1: .*last checkpoint: .*{model}--mini--seed1234/checkpoint\.pt"
    with pytest.raises(RuntimeError, match=message):
        train(model, recipe, out_dir=tmp_path)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("kgt-tiny-x4", "needs a model of scale 2 and 3 channels, got kgt-tiny-x4 of scale 4"),
        ("identity", "no parameters to train"),
        ("kgt-tiny-x9", "unknown model 'kgt-tiny-x9'"),
    ],
)
def test_models_that_do_not_fit_are_refused(model, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(model, MINI, out_dir=tmp_path)


def test_a_patch_below_the_window_is_wrong_use(tmp_path):
    with pytest.raises(ValueError, match="window"):
        train("kgt-tiny-x2", change(patch=8), out_dir=tmp_path)


def test_weights_load_and_say_where_they_come_from(tmp_path):
    recipe = change(steps=1)
    result = train(MODEL, recipe, out_dir=tmp_path)
    model = create_any_model(MODEL).eval()
    load_weights(model, result.weights)
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(model(x), result.model(x))
    metadata = read_tensors(result.weights)[1]
    assert metadata["model"] == MODEL
    assert metadata["recipe"] == "mini@1"
    assert metadata["recipe_digest"] == recipe.digest
    assert metadata["steps"] == "1"
    assert metadata["data_digest"] == result.data_digest == PatchSampler(recipe).digest
    assert metadata["torch"] == torch.__version__


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs the command line on the miniature recipe: code, standard output, standard error."""
    monkeypatch.setattr("benchmarks.training.recipes._RECIPES", tmp_path)
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump({**FIELDS, "steps": 3}))

    def run(arguments="", model=MODEL, recipe="mini"):
        fixed = ["--model", model, "--recipe", recipe, "--out", str(tmp_path / "out")]
        code = main([*fixed, *arguments.split()])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_command_trains_and_prints_json(command, tmp_path):
    code, out, err = command("--json --steps 2")
    result = json.loads(out)
    assert code == 0
    assert "step 2 of 2" in err
    assert result["recipe"] == "mini@1"
    assert result["steps"] == 2
    assert [point["step"] for point in result["losses"]] == [2]
    _, metadata = read_tensors(result["weights"])
    assert metadata["recipe_digest"] == result["recipe_digest"]
    assert command("--json --steps 2")[1] == out


@pytest.mark.parametrize(
    ("arguments", "names", "message"),
    [
        ("", {"model": "swinir"}, "valid names: kgt-"),
        ("", {"recipe": "mega"}, "valid names: mini"),
        ("", {"model": "swinir-tiny-x3"}, "of scale 3"),
        ("--steps 0", {}, "steps"),
    ],
)
def test_wrong_use_exits_with_2(command, arguments, names, message):
    code, out, err = command(arguments, **names)
    assert code == 2
    assert message in err
    assert not out


def test_divergence_exits_with_3(command, tmp_path):
    fields = {**FIELDS, "lr": 1e30, "warmup": 0, "clip_grad_norm": None}
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump(fields))
    code, out, err = command()
    assert code == 3
    assert "diverged at step 1" in err
    assert not out
