import importlib.util
import sys

import pytest
import torch
from skimage.data import astronaut

from baselines import create_model

MODELS = ["nl-means", "wavelet", "tv"]
needs_bm3d = pytest.mark.skipif(
    importlib.util.find_spec("bm3d") is None, reason="the package bm3d is not installed"
)
WITH_BM3D = [*MODELS, pytest.param("bm3d", marks=needs_bm3d)]


def photograph(channels):
    pixels = astronaut()[:160, 120:280] / 255
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    return image if channels == 3 else image.mean(1, keepdim=True)


def add_noise(image, sigma):
    generator = torch.Generator().manual_seed(0)
    return image + sigma / 255 * torch.randn(image.shape, generator=generator, dtype=image.dtype)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", WITH_BM3D)
def test_noise_is_reduced(psnr, name, channels):
    image = photograph(channels)
    noisy = add_noise(image, 25)
    restored = create_model(name, sigma=25, in_channels=channels)(noisy)
    assert psnr(restored, image) > psnr(noisy, image) + 5


@pytest.mark.parametrize("name", WITH_BM3D)
def test_what_is_told_in_8_bit_units_is_what_the_image_shows(psnr, name):
    """The estimate, made without it, restores as well: sigma has the right unit."""
    image = photograph(3)
    noisy = add_noise(image, 25)
    given, estimated = (psnr(create_model(name, sigma=s)(noisy), image) for s in (25, None))
    assert estimated == pytest.approx(given, abs=0.2)
    for wrong in (25 / 4, 25 * 4):
        assert psnr(create_model(name, sigma=wrong)(noisy), image) < given - 1


@pytest.mark.parametrize("name", WITH_BM3D)
def test_without_noise_the_image_stays_as_it_is(name):
    image = photograph(3)
    torch.testing.assert_close(create_model(name, sigma=0)(image), image)


@pytest.mark.parametrize("name", MODELS)
def test_flat_areas_stay_flat(name):
    flat = torch.full((1, 3, 24, 24), 0.3)
    torch.testing.assert_close(create_model(name)(flat), flat)


@pytest.mark.parametrize("name", MODELS)
def test_images_of_a_batch_do_not_mix(name):
    x = add_noise(photograph(3), 25)[..., :40, :50]
    other = 1 - x
    model = create_model(name).float()
    both = model(torch.cat([x, other]).float())
    assert both.dtype == torch.float32
    torch.testing.assert_close(both, torch.cat([model(x.float()), model(other.float())]))


@pytest.mark.filterwarnings("ignore:Level value:UserWarning")
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", MODELS)
def test_any_size_and_number_of_channels(name, channels, size):
    x = torch.rand(2, channels, *size)
    y = create_model(name, sigma=25, in_channels=channels)(x)
    assert y.shape == x.shape
    assert torch.isfinite(y).all()


@pytest.mark.parametrize("sigma", [-1, 300, float("nan"), True, "x"])
@pytest.mark.parametrize("name", ["tv", "ffdnet-color"])
def test_a_noise_level_outside_the_range_is_refused(name, sigma):
    with pytest.raises(ValueError, match=f"^sigma = {sigma!r}: a finite number from 0 to 255 is"):
        create_model(name, sigma=sigma)


def test_bm3d_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ValueError, match=r"non-commercial.*pip install bm3d"):
        create_model("bm3d")


@needs_bm3d
def test_bm3d_refuses_other_channels():
    with pytest.raises(ValueError, match=r"in_channels is 4.*1 or 3"):
        create_model("bm3d", in_channels=4)
