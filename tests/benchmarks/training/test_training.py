import resource

import numpy as np
import pytest
import torch
from safetensors import safe_open

import kgt
from baselines.catalog import create_any_model
from benchmarks.models import create_described, load_weights
from benchmarks.records.components import VERSIONS
from benchmarks.tasks import TASKS
from benchmarks.training import loop
from benchmarks.training.data import PatchSampler
from benchmarks.training.loop import Listener, run_folder, train
from benchmarks.training.start import start_as_nearest
from benchmarks.training.state import TrainingDiverged
from tests.benchmarks.training.mini import DECIMATED, MINI, Stop, change, stop_at

MODEL = "swinir-tiny-x2"


def checkpoint_in(folder, model=MODEL):
    return run_folder(model, MINI, folder) / "checkpoint.pt"


def read_tensors(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def assert_same(first, second):
    assert first.weights_digest == second.weights_digest
    assert first.losses == second.losses
    left, right = read_tensors(first.weights)[0], read_tensors(second.weights)[0]
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_starting_as_nearest_gives_nearest_neighbor_interpolation():
    x = torch.rand(1, 3, 16, 20)
    nearest = x.repeat_interleave(4, 2).repeat_interleave(4, 3)
    for name in ("kgt-tiny-x4", "swinir-tiny-x4"):
        model = create_any_model(name)
        assert not torch.allclose(model(x), nearest, atol=0.05)
        start_as_nearest(model)
        # The head keeps a little of its random weights, so that its channels can part.
        assert (model(x) - nearest).abs().mean() < 0.02
    for name in ("weather", "weather:shape=columnar"):
        for family in ("kgt-tiny", "swinir-tiny")[: 1 if "shape" in name else 2]:
            model = create_described(f"{family}-{name}")
            x = torch.rand(1, 3, 64, 64)
            assert not torch.allclose(model(x), x, atol=0.05)
            start_as_nearest(model)
            torch.testing.assert_close(model(x), x, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="Bicubic has none of conv_in"):
        start_as_nearest(create_any_model("bicubic"))


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_a_finished_training_without_its_last_loss_is_refused(tmp_path):
    recipe = change(steps=2)
    path = train(MODEL, recipe, out_dir=tmp_path).weights.with_name("checkpoint.pt")
    content = torch.load(path, weights_only=True)
    torch.save({**content, "losses": [], "times": [], "recent": [0.5, 0.4]}, path)
    with pytest.raises(ValueError, match=r"of step 2 of 2, and its loss curve .* --fresh"):
        train(MODEL, recipe, out_dir=tmp_path)


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


@pytest.mark.parametrize(("what", "key"), [("components", "components"), ("data", "data_digest")])
def test_a_checkpoint_from_before_a_change_is_refused_resumed_or_dropped(
    what, key, tmp_path, monkeypatch, caplog
):
    recipe = change(steps=2)
    with pytest.raises(Stop):
        train(MODEL, recipe, out_dir=tmp_path, listener=stop_at(2))
    if what == "components":
        monkeypatch.setitem(VERSIONS, "swinir", 2)
    else:
        monkeypatch.setitem(TASKS, "sr-x2", DECIMATED)
    with pytest.raises(ValueError, match=rf"other {what}, after 1 steps; .*--stale resume"):
        train(MODEL, recipe, out_dir=tmp_path)
    seen = []
    listener = Listener(lambda step, _: seen.append(step))
    result = train(MODEL, recipe, out_dir=tmp_path, listener=listener, stale="resume")
    assert seen == [2]
    assert "+" in read_tensors(result.weights)[1][key]
    with pytest.raises(Stop):
        train(MODEL, change(steps=1), out_dir=tmp_path / "b", listener=stop_at(1))
    train(MODEL, change(steps=1), out_dir=tmp_path / "b")
    monkeypatch.setitem(VERSIONS, "swinir", 3)
    with pytest.raises(Stop):
        train(MODEL, change(steps=1), out_dir=tmp_path / "b", listener=stop_at(1), stale="restart")
    assert "is of other components; training starts over" in caplog.text


def test_an_unreadable_checkpoint_is_refused(tmp_path):
    path = checkpoint_in(tmp_path)
    path.parent.mkdir()
    for content in (b"", b"not a checkpoint"):
        path.write_bytes(content)
        with pytest.raises(
            ValueError,
            match=r"checkpoint\.pt is damaged or no checkpoint of a training \(.*--fresh",
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

    create = loop.create_network

    def remember(name, recipe):
        nonlocal model
        model = create(name, recipe)
        return model

    model = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "create_network", remember)
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
