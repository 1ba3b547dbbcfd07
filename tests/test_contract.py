"""Every name of both registries is a restorer that keeps what the contract promises."""

import pytest
import torch

import baselines
import kgt
from benchmarks.models import create_any_model, list_any_models
from kgt.config import PRESETS, preset
from kgt.contract import Restorer, WholeImageRestorer, split_whole


def build(name):
    """The network with one layer in every stage, which keeps every promise that all of them do."""
    depths = preset(name).depths if name in PRESETS else baselines.model_fields(name).get("depths")
    small = {"depths": (1,) * len(depths)} if depths and name != "scunet-color" else {}
    if name == "grl-b-x4":
        small["embed_dim"] = 60
    try:
        return create_any_model(name, **small).eval()
    except ValueError as error:
        if "pip install" in str(error):
            pytest.skip(str(error))
        raise


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name == "grl-b-x4"))
        for name in list_any_models()
    ],
)
@torch.inference_mode()
def test_every_model_keeps_the_contract(name):
    model = build(name)
    assert isinstance(model, Restorer)
    assert isinstance(model, WholeImageRestorer) == (
        name == "blind-deconvolution" or name.startswith("deconvolved-")
    )
    side = max(16, model.size_multiple)
    x = torch.rand(1, model.in_channels, side, side + 2)
    y = model(x)
    assert y.shape == (1, model.in_channels, model.scale * side, model.scale * (side + 2))
    assert y.dtype == x.dtype
    body, prepared = split_whole(model, x)
    assert prepared.shape == (1, body.in_channels, side, side + 2)
    assert body(prepared).equal(y)
    with pytest.raises((ValueError, RuntimeError)):
        model(torch.rand(1, model.in_channels + 4, side, side))


def test_the_names_of_both_packages_are_apart():
    assert not {*kgt.list_models()} & {*baselines.list_models()}
