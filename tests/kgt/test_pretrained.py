import pytest
import torch
from safetensors.torch import save_model

import kgt

SMALL = "kgt-tiny-x4"


@pytest.fixture
def ship(tmp_path, monkeypatch):
    """Puts random weights where trained ones ship, and returns the network that has them."""
    monkeypatch.setattr("kgt.zoo.WEIGHTS", tmp_path / "weights")
    (tmp_path / "weights").mkdir()

    def put(name, **metadata):
        network = kgt.create_model(name).eval()
        metadata = {"model": name, "steps": "3000", **metadata}
        save_model(network, str(tmp_path / "weights" / f"{name}.safetensors"), metadata)
        return network

    return put


def test_models_with_weights_are_listed(ship):
    assert kgt.list_models(pretrained=True) == []
    ship("kgt-tiny-x4")
    ship("kgt-tiny-deblur")
    assert kgt.list_models(pretrained=True) == ["kgt-tiny-deblur", "kgt-tiny-x4"]
    assert set(kgt.list_models(pretrained=True)) < set(kgt.list_models())


def test_without_a_folder_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr("kgt.zoo.WEIGHTS", tmp_path / "absent")
    assert kgt.list_models(pretrained=True) == []
    with pytest.raises(ValueError, match=r"no trained weights ship for 'kgt-s-x4'.*none yet"):
        kgt.create_model("kgt-s-x4", pretrained=True)


@torch.no_grad()
def test_a_pretrained_network_has_the_weights_and_says_where_from(ship):
    source = ship(SMALL, recipe="sr-tiny@1")
    network = kgt.create_model(SMALL, pretrained=True).eval()
    x = torch.rand(1, 3, 16, 16)
    assert network(x).equal(source(x))
    assert network.provenance == {"model": SMALL, "steps": "3000", "recipe": "sr-tiny@1"}
    untrained = kgt.create_model(SMALL).eval()
    assert not untrained(x).equal(source(x))
    assert untrained.provenance == {}


@torch.no_grad()
def test_k_and_backend_may_be_others(ship):
    source = ship(SMALL)
    network = kgt.create_model(SMALL, pretrained=True, k=7, backend="torch-gather").eval()
    source.set_k(7)
    source.set_backend("torch-gather")
    x = torch.rand(1, 3, 16, 16)
    assert network(x).equal(source(x))


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"in_channels": 1}, "conv_in.weight"),
        ({"embed_dim": 24}, "size mismatch"),
        ({"depths": (2, 2)}, "stages.2"),
        ({"depths": (2, 2, 2, 2)}, "stages.3"),
    ],
)
def test_fields_that_change_shapes_are_refused(ship, fields, what):
    ship(SMALL)
    with pytest.raises(ValueError, match=rf"{SMALL} do not fit.*{what}.*pretrained=False"):
        kgt.create_model(SMALL, pretrained=True, **fields)


def test_names_without_weights_list_those_with_some(ship):
    ship("kgt-tiny-x4")
    ship("kgt-tiny-deblur")
    with pytest.raises(ValueError, match=r"'kgt-s-x4'.*: kgt-tiny-deblur, kgt-tiny-x4\."):
        kgt.create_model("kgt-s-x4", pretrained=True)


def test_weights_of_another_model_are_refused(ship):
    ship(SMALL, model="kgt-tiny-x3")
    with pytest.raises(ValueError, match="of 'kgt-tiny-x3', not of 'kgt-tiny-x4'"):
        kgt.create_model(SMALL, pretrained=True)


def test_a_damaged_file_is_named(ship, tmp_path):
    ship(SMALL)
    path = tmp_path / "weights" / f"{SMALL}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=rf"{path} cannot be read"):
        kgt.create_model(SMALL, pretrained=True)
