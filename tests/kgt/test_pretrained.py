import pytest
import torch
from safetensors.torch import save_file, save_model

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
        ({"in_channels": 1}, "other shapes: conv_in.weight"),
        ({"embed_dim": 24}, r"other shapes: conv_in.weight \[48, 3, 3, 3\] instead of \[24, "),
        ({"depths": (2, 2)}, "left over: stages.2"),
        ({"depths": (2, 2, 2, 2)}, "missing: stages.3"),
    ],
)
def test_fields_that_change_shapes_are_refused(ship, fields, what):
    ship(SMALL)
    with pytest.raises(ValueError, match=rf"{SMALL}.* does not fit .*{what}"):
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
    with pytest.raises(ValueError, match=rf"{path} is cut short"):
        kgt.create_model(SMALL, pretrained=True)


@pytest.fixture
def own(tmp_path):
    """Writes weights of a network as a training here does, and returns file and network."""

    def write(description, **fields):
        network = kgt.create_model(description.partition(":")[0], **fields).eval()
        save_model(network, str(tmp_path / "own.safetensors"), {"model": description})
        return tmp_path / "own.safetensors", network

    return write


@torch.no_grad()
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_own_weights_are_taken_from_a_file(own, kind):
    path, source = own("kgt-tiny-denoise-color")
    network = kgt.create_model("kgt-tiny-denoise-color", pretrained=kind(path)).eval()
    x = torch.rand(1, 3, 32, 32)
    assert network(x).equal(source(x))
    assert network.provenance == {"model": "kgt-tiny-denoise-color"}


@pytest.mark.parametrize(
    ("description", "fields", "name", "differs"),
    [
        ("kgt-tiny-denoise-color", {}, "kgt-tiny-jpeg-color", "task is 'denoise' in the file"),
        ("kgt-tiny-x4:k=7", {"k": 7}, "kgt-tiny-x4", "k is 7 in the file, 64 in the model"),
        ("kgt-tiny-x4:norm=post", {}, "kgt-tiny-x4", "norm is 'post' in the file, 'pre' in"),
        ("kgt-tiny-x4", {}, "kgt-tiny-x2", "scale is 4 in the file, 2 in the model"),
        ("swinir-tiny-x4", None, "kgt-tiny-x4", "not of 'kgt-tiny-x4'"),
    ],
)
def test_weights_of_another_network_are_refused_by_the_fields(
    own, description, fields, name, differs, tmp_path
):
    """Most of them have the same shapes, so that they would load and restore wrongly."""
    path = tmp_path / "own.safetensors"
    if fields is None:
        save_file({"weight": torch.zeros(1)}, path, {"model": description})
    else:
        own(description, **fields)
    with pytest.raises(ValueError, match=rf"own\.safetensors holds the weights of .*{differs}"):
        kgt.create_model(name, pretrained=path)


def test_a_field_that_is_asked_for_may_differ_from_the_file(own):
    path, _ = own("kgt-tiny-x4:k=7", k=7)
    assert kgt.create_model("kgt-tiny-x4", pretrained=path, k=9).config.k == 9


@pytest.mark.parametrize("path", ["", "absent.pth", "."])
def test_a_file_that_cannot_be_read_is_told(path):
    with pytest.raises(ValueError, match=r"no checkpoint"):
        kgt.create_model(SMALL, pretrained=path)
