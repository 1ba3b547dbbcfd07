"""Networks that see a blind deconvolution beside their input."""

import pytest
import torch
from skimage.data import astronaut, chelsea
from torch import nn

import kgt
from baselines import create_model
from baselines.deconvolution import append_undone
from baselines.deconvolved import Deconvolved
from kgt.contract import WholeImageRestorer

NAMES = ("deconvolved-kgt-tiny-deblur", "deconvolved-swinir-tiny-deblur")


def test_an_unknown_shake_is_estimated_from_the_whole_image(psnr):
    image = torch.from_numpy(astronaut()[:300, :400] / 255).permute(2, 0, 1)[None].float()
    shake = torch.tensor([1, 1, 1, 3, 1, 1, 1]) / 9  # the camera rests halfway
    light = (image.pow(2.2).unfold(-1, len(shake), 1) * shake).sum(-1)
    shaken = (light.pow(1 / 2.2) * 255).round() / 255
    image = image[..., 3:-3]
    model = create_model("blind-deconvolution")
    restored = model(shaken)
    assert psnr(restored, image) > psnr(shaken, image) + 1
    # And tiles, which are too small for it, take the estimate of the whole image.
    assert kgt.restore(model, shaken, 64, overlap=8).equal(restored)
    assert not model(shaken[..., :64, :64]).equal(restored[..., :64, :64])


@pytest.mark.parametrize("name", ["blind-deconvolution", *NAMES])
@pytest.mark.parametrize("channels", [2, 4, 6])
def test_an_image_of_other_channels_is_refused(name, channels):
    with pytest.raises(
        ValueError, match=rf"the input has {channels} channels, the network takes 3"
    ):
        create_model(name)(torch.rand(1, channels, 40, 40))


@pytest.mark.parametrize(("name", "last"), [*zip(NAMES, ("conv_out", "conv_last"), strict=True)])
def test_a_network_corrects_the_deconvolution_beside_its_input(name, last):
    model = create_model(name).eval()
    assert isinstance(model, WholeImageRestorer)
    x = torch.rand(2, 3, 40, 48)
    prepared = model.prepare(x)
    assert prepared.equal(append_undone(x))
    with torch.no_grad():
        assert model(x).equal(model.body(prepared))
        for parameter in getattr(model.body, last).parameters():
            nn.init.zeros_(parameter)
        torch.testing.assert_close(model(x), prepared[:, 3:], rtol=0, atol=1e-6)


def test_weights_of_the_network_fit_and_come_back():
    model = create_model(NAMES[0], k=5, backend="torch-gather")
    network = kgt.create_model("kgt-tiny-deblur", in_channels=6, out_channels=3)
    model.load_state_dict(network.state_dict())
    for name, value in model.state_dict().items():
        assert value.equal(network.state_dict()[name])
    stages = [module for module in model.modules() if hasattr(module, "connect")]
    assert {stage.k for stage in stages} == {5}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value):
    model = create_model(NAMES[0])
    x = torch.rand(1, 3, 40, 48)
    x[0, 1, 3, 4] = value
    for restore in (model, lambda x: kgt.restore(model, x)):
        with pytest.raises(ValueError, match="NaN or infinite"):
            restore(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_every_tile_sees_the_deconvolution_of_the_whole_image(dtype):
    model = create_model(NAMES[0], k=16).eval()
    for parameter in model.network.conv_out.parameters():
        nn.init.zeros_(parameter)  # the result is the deconvolution
    # The eyes and the whiskers, moved over seven pixels.
    image = torch.from_numpy(chelsea()[60:190, 90:266]).permute(2, 0, 1)[None]
    image = image.float().unfold(-1, 7, 1).mean(-1).round().to(torch.uint8)
    image = image if dtype == torch.uint8 else image / 255
    prepared = model.prepare(image)
    whole = prepared[:, 3:] / 255 if dtype == torch.uint8 else prepared[:, 3:]
    tiled = kgt.restore(model, image, 96, overlap=32)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-6)
    bands = torch.cat(list(kgt.restore_bands(model, image, 96, overlap=32)), dim=-2)
    assert bands.equal(tiled)
    apart = kgt.restore(model, image[..., :96, :96])
    assert (apart - whole[..., :96, :96])[..., :64, :64].abs().max() > 0.01


def test_tiles_are_planned_for_what_is_prepared():
    model = create_model(NAMES[0]).eval()
    image = torch.randint(256, (1, 3, 1000, 1200), dtype=torch.uint8)
    budget = 300 * 2**20
    plan = kgt.plan_tiles(model, image, byte_budget=budget)
    assert plan.tile is not None
    assert plan == kgt.plan_tiles(model.body, model.prepare(image), byte_budget=budget)


def test_any_network_of_two_images_can_be_wrapped():
    network = create_model("swinir-tiny-deblur", in_channels=2, out_channels=1)
    x = torch.rand(1, 1, 40, 40)
    model = Deconvolved(network).eval()
    assert model.in_channels == 1
    with torch.no_grad():
        assert model(x).shape == x.shape
