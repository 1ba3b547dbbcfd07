import copy
from dataclasses import replace

import pytest
import torch

from baselines import load_official
from baselines.swinir import SwinIR, SwinIRConfig
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


def errors_of(config, weights):
    """Lines of the refusal, which leaves the model as it was."""
    model = SwinIR(config)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="does not fit") as error:
        load_official(model, weights)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    return [line.strip() for line in str(error.value).splitlines()[1:]]


@pytest.mark.parametrize("source", ["", "params", "params_ema"])
def test_every_entry_of_a_checkpoint_is_accounted_for(weights, source):
    model = SwinIR(SMALL)
    report = load_official(model, {source: weights} if source else weights)
    assert report.source == source
    assert report.renamed == {}
    assert list(report.used) == list(model.state_dict())
    assert sorted([*report.used, *report.dropped]) == sorted(weights)
    # Each of the five blocks stores its index, each of the two shifted ones its mask.
    assert sum(name.endswith("relative_position_index") for name in report.dropped) == 5
    assert sum(name.endswith("attn_mask") for name in report.dropped) == 2
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_averaged_weights_are_preferred(weights):
    zeros = {name: torch.zeros_like(value) for name, value in weights.items()}
    model = SwinIR(SMALL)
    assert load_official(model, {"params": zeros, "params_ema": weights}).source == "params_ema"
    assert torch.equal(model.norm.weight, weights["norm.weight"])


def test_the_prefix_of_parallel_training_is_renamed(weights):
    model = SwinIR(SMALL)
    report = load_official(model, {f"module.{name}": value for name, value in weights.items()})
    assert report.renamed == {f"module.{name}": name for name in weights}
    assert torch.equal(model.norm.weight, weights["norm.weight"])


def test_every_difference_is_listed_with_its_shape(weights):
    changed = dict(weights)
    changed["extra.weight"] = torch.zeros(1)
    changed["norm.weight"] = torch.zeros(7)
    changed[INDEX] = changed[INDEX].T.clone()
    del changed["norm.bias"], changed["conv_last.bias"]
    assert errors_of(SMALL, changed) == [
        f"differs: {INDEX}",
        "missing: conv_last.bias [3]",
        "missing: norm.bias [20]",
        "shape: norm.weight is [7] instead of [20]",
        "unexpected: extra.weight [1]",
    ]


@pytest.mark.parametrize(
    ("change", "differences"),
    [
        ({"scale": 4}, ["scale is 2 in the checkpoint, 4 in the model"]),
        ({"scale": 3}, ["scale is 2 in the checkpoint, 3 in the model"]),
        (
            {"upsampler": "pixelshuffledirect"},
            ["upsampler is 'pixelshuffle' in the checkpoint, 'pixelshuffledirect' in the model"],
        ),
        (
            {"upsampler": "", "scale": 1},
            [
                "upsampler is 'pixelshuffle' in the checkpoint, '' in the model",
                "scale is 2 in the checkpoint, 1 in the model",
            ],
        ),
        ({"embed_dim": 24}, ["embed_dim is 20 in the checkpoint, 24 in the model"]),
        ({"in_channels": 1}, ["in_channels is 3 in the checkpoint, 1 in the model"]),
        ({"depths": (3, 3)}, ["depths is (2, 3) in the checkpoint, (3, 3) in the model"]),
        ({"num_heads": 4}, ["num_heads is 2 in the checkpoint, 4 in the model"]),
        ({"window_size": 4}, ["window_size is 8 in the checkpoint, 4 in the model"]),
    ],
)
def test_the_field_that_differs_is_named(weights, change, differences):
    lines = errors_of(replace(SMALL, **change), weights)
    assert [line for line in lines if "in the checkpoint" in line] == differences


@pytest.mark.parametrize("upsampler", ["pixelshuffle", "pixelshuffledirect"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_scale_and_upsampler_are_recognized(upsampler, scale):
    lines = errors_of(
        replace(SMALL, scale=1, upsampler=""),
        official_weights(replace(SMALL, depths=(2,), scale=scale, upsampler=upsampler)),
    )
    assert f"upsampler is {upsampler!r} in the checkpoint, '' in the model" in lines
    assert f"scale is {scale} in the checkpoint, 1 in the model" in lines


def test_shapes_of_both_sides_are_given_where_the_scale_is_wrong(weights):
    lines = errors_of(replace(SMALL, scale=3), weights)
    assert "shape: upsample.0.weight is [256, 64, 3, 3] instead of [576, 64, 3, 3]" in lines
    lines = errors_of(replace(SMALL, scale=4), weights)
    assert "missing: upsample.2.weight [256, 64, 3, 3]" in lines


def test_what_is_no_tensor_is_named(weights):
    with pytest.raises(ValueError, match=r"no tensor for norm\.weight"):
        load_official(SwinIR(SMALL), {**weights, "norm.weight": "weights"})
    with pytest.raises(ValueError, match="no parameters under 'params'"):
        load_official(SwinIR(SMALL), {"params": 3})
