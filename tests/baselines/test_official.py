import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baselines.official import recognize
from baselines.swinir import SwinIR, SwinIRConfig
from kgt.checkpoints import Checkpoint, fill, load_weights
from tests.baselines.upstream import create_upstream

SMALL = SwinIRConfig(
    scale=2, embed_dim=20, depths=(2, 3), num_heads=2, mlp_ratio=1.5, upsampler="pixelshuffle"
)
INDEX = "layers.0.residual_group.blocks.0.attn.relative_position_index"


def official_weights(config):
    """What the authors' own code saves, shift masks and position indices included."""
    return create_upstream(config).state_dict()


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return official_weights(SMALL)


def error_of(config, weights):
    """What differs, in the words of the refusal, which leaves the model as it was."""
    model = SwinIR(config)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"^swinir\.pth does not fit this SwinIR: ") as error:
        fill(model, Checkpoint(Path("swinir.pth"), weights, {}))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    return str(error.value).partition("SwinIR: ")[2].rpartition("; create")[0]


@pytest.mark.parametrize("source", ["", "params", "params_ema"])
def test_every_parameter_is_filled(weights, source, tmp_path):
    model = SwinIR(SMALL)
    torch.save({source: weights} if source else weights, tmp_path / "swinir.pth")
    load_weights(model, tmp_path / "swinir.pth")
    # Beside them, each of the five blocks stores its index, each of the two shifted ones its mask.
    assert len(weights) == len(model.state_dict()) + 7
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_an_index_of_other_positions_is_refused(weights):
    changed = {**weights, INDEX: weights[INDEX].T.clone()}
    assert error_of(SMALL, changed) == f"other values: {INDEX}"


@pytest.mark.parametrize(
    ("change", "differences"),
    [
        ({"scale": 4}, ["scale is 2 in the file, 4 in the network"]),
        ({"scale": 3}, ["scale is 2 in the file, 3 in the network"]),
        (
            {"upsampler": "pixelshuffledirect"},
            ["upsampler is 'pixelshuffle' in the file, 'pixelshuffledirect' in the network"],
        ),
        (
            {"upsampler": "", "scale": 1},
            [
                "upsampler is 'pixelshuffle' in the file, '' in the network",
                "scale is 2 in the file, 1 in the network",
            ],
        ),
        ({"embed_dim": 24}, ["embed_dim is 20 in the file, 24 in the network"]),
        ({"in_channels": 1}, ["in_channels is 3 in the file, 1 in the network"]),
        ({"depths": (3, 3)}, ["depths is (2, 3) in the file, (3, 3) in the network"]),
        ({"num_heads": 4}, ["num_heads is 2 in the file, 4 in the network"]),
        ({"window_size": 4}, ["window_size is 8 in the file, 4 in the network"]),
    ],
)
def test_the_field_that_differs_is_named(weights, change, differences):
    parts = error_of(replace(SMALL, **change), weights).split("; ")
    assert [part for part in parts if "in the file" in part] == differences


@pytest.mark.parametrize("upsampler", ["pixelshuffle", "pixelshuffledirect"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_scale_and_upsampler_are_recognized(upsampler, scale):
    text = error_of(
        replace(SMALL, scale=1, upsampler=""),
        official_weights(replace(SMALL, depths=(2,), scale=scale, upsampler=upsampler)),
    )
    assert f"upsampler is {upsampler!r} in the file, '' in the network" in text
    assert f"scale is {scale} in the file, 1 in the network" in text


def test_shapes_of_both_sides_are_given_where_the_scale_is_wrong(weights):
    text = error_of(replace(SMALL, scale=3), weights)
    assert "other shapes: upsample.0.weight [256, 64, 3, 3] instead of [576, 64, 3, 3]" in text
    text = error_of(replace(SMALL, scale=4), weights)
    assert "missing: upsample.2.weight [256, 64, 3, 3]" in text


def test_unshuffled_channels_are_no_difference():
    config = replace(SMALL, scale=1, upsampler="", unshuffle=2)
    weights = SwinIR(config).state_dict()
    assert SwinIR(config).recognize(weights)["in_channels"] == 3


@pytest.mark.parametrize("shape", [(), (3,), (0, 0, 0, 0)])
def test_shapes_that_no_network_has_are_of_none(shape):
    names = ("conv_first.weight", "conv_before_upsample.0.weight", "upsample.0.bias")
    weights = {name: torch.zeros(shape) for name in names}
    assert recognize(weights) == {}
