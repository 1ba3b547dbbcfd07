import sys

import pytest
import torch
from safetensors.torch import save_model

import baselines
import kgt
from baselines import load_checkpoint
from baselines.swinir import SwinIR, SwinIRConfig
from tests.baselines.upstream import create_upstream


@pytest.mark.parametrize(
    ("description", "package", "fields"),
    [
        ("kgt-tiny-denoise-color", kgt, {}),
        ("kgt-tiny-x2:k=9:depths=(1, 1)", kgt, {"k": 9, "depths": (1, 1)}),
        ("swinir-tiny-jpeg-color", baselines, {}),
        ("ffdnet-color:sigma=15", baselines, {"sigma": 15}),
    ],
)
@torch.no_grad()
def test_a_file_of_ours_tells_its_network(description, package, fields, tmp_path):
    source = package.create_model(description.partition(":")[0], **fields).eval()
    path = tmp_path / "own.safetensors"
    save_model(source, str(path), {"model": description, "steps": "7"})
    network = load_checkpoint(path)
    x = torch.rand(1, 3, 32, 32)
    assert network(x).equal(source(x))
    assert not network.training
    assert network.provenance["steps"] == "7"


@pytest.mark.parametrize(
    "fields",
    [
        {"scale": 2, "upsampler": "pixelshuffle"},
        {"scale": 3, "upsampler": "pixelshuffledirect", "mlp_ratio": 1.5},
        {"scale": 1, "upsampler": ""},
        {"scale": 1, "upsampler": "", "in_channels": 1, "window_size": 7, "img_range": 255.0},
    ],
    ids=["classical", "lightweight", "denoise", "jpeg"],
)
@torch.no_grad()
def test_a_swinir_of_the_authors_is_known_by_its_shapes(fields, tmp_path):
    config = SwinIRConfig(embed_dim=24, depths=(2, 2), num_heads=2, **fields)
    upstream = create_upstream(config).eval()
    torch.save({"params": upstream.state_dict()}, tmp_path / "swinir.pth")
    network = load_checkpoint(tmp_path / "swinir.pth")
    assert isinstance(network, SwinIR)
    x = torch.rand(1, config.in_channels, 19, 24)
    torch.testing.assert_close(network(x), upstream(x), atol=2e-5, rtol=1e-4)


def test_a_network_that_no_file_tells_is_not_guessed(tmp_path):
    """12 channels of a 2x2 block are those of an RGB image to this network alone."""
    network = baselines.create_model("swinir-tiny-denoise-color")
    torch.save(network.state_dict(), tmp_path / "own.pth")
    with pytest.raises(ValueError, match=r"own\.pth does not say which network it is of"):
        load_checkpoint(tmp_path / "own.pth")


def test_shapes_that_no_memory_holds_are_refused(tmp_path):
    weights = {
        "conv_first.weight": torch.zeros(300_000, 3, 1, 1),
        "layers.0.residual_group.blocks.0.attn.relative_position_bias_table": torch.zeros(225, 6),
    }
    torch.save(weights, tmp_path / "huge.pth")
    with pytest.raises(ValueError, match=r"huge\.pth"):
        load_checkpoint(tmp_path / "huge.pth")


def test_without_spandrel_it_is_asked_for(tmp_path, monkeypatch):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "net.pth")
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(ValueError, match=r"net\.pth is not of .* pip install 'kgt\[bench\]'"):
        load_checkpoint(tmp_path / "net.pth")
