"""Every name of both registries is a restorer that keeps what the contract promises."""

from contextlib import contextmanager

import PIL.Image
import pytest
import torch

import baselines
import kgt
from baselines.catalog import create_any_model, list_any_models
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


@pytest.fixture(params=[torch.float64, torch.bfloat16, torch.float16], ids=str)
def default_dtype(request):
    """Sets torch's default dtype for what is done within, as Lightning's `bf16-true` does."""

    @contextmanager
    def other_default():
        torch.set_default_dtype(request.param)
        try:
            yield request.param
        finally:
            torch.set_default_dtype(torch.float32)

    return other_default


# One size of each, and none whose code is another package's.
ONE_SIZE = [
    name
    for name in list_any_models()
    if not {"x2", "x3", "b", "s", "m", "upstream", "plus"} & {*name.split("-")}
]


@pytest.mark.parametrize("name", ONE_SIZE)
@torch.inference_mode()
def test_no_model_depends_on_the_default_dtype(name, default_dtype):
    model = build(name)
    side = max(16, model.size_multiple)
    x = torch.rand(1, model.in_channels, side, side + 2)
    expected = model(x)
    with default_dtype():
        found = model(x)
    assert found.dtype == x.dtype
    assert found.equal(expected)


@pytest.mark.parametrize(("name", "channels"), [("kgt-tiny-x4", 3), ("tv", 3), ("malvar", 1)])
@torch.inference_mode()
def test_no_picture_depends_on_the_default_dtype(name, channels, default_dtype):
    model = build(name)
    pixels = torch.randint(256, (96, 80, channels), dtype=torch.uint8).numpy().squeeze()
    results = [kgt.restore_picture(model, PIL.Image.fromarray(pixels), tile=64)]
    with default_dtype():
        results.append(kgt.restore_picture(model, PIL.Image.fromarray(pixels), tile=64))
    assert results[0].pixels.dtype == results[1].pixels.dtype
    assert (results[0].pixels == results[1].pixels).all()


@pytest.mark.parametrize("name", ["kgt-tiny-denoise-color", "swinir-tiny-x4"])
@torch.inference_mode()
def test_a_network_made_under_another_default_dtype_is_the_one_converted_to_it(name, default_dtype):
    model = build(name)
    x = torch.rand(1, 3, 64, 64)
    with default_dtype() as dtype:
        found = build(name)
        found.load_state_dict(model.state_dict())
        assert {t.dtype for t in found.parameters()} == {dtype}
    y = model.to(dtype)(x.to(dtype))
    # Double holds some constants more exactly than the float that is converted to it.
    tolerance = 1e-7 if dtype == torch.float64 else 0
    torch.testing.assert_close(found(x.to(dtype)), y, rtol=0, atol=tolerance)


def test_the_names_of_both_packages_are_apart():
    assert not {*kgt.list_models()} & {*baselines.list_models()}
