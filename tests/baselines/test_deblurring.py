import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.data import chelsea

from baselines import create_model


def photograph():
    return torch.from_numpy(chelsea()[100:244, 100:250] / 255).permute(2, 0, 1)[None]


def blur(image, sigma):
    """Gaussian blur, rounded to 8 bits as an image file is."""
    blurred = gaussian_filter(image.numpy(), (0, 0, sigma, sigma))
    return (torch.from_numpy(blurred) * 255).round() / 255


@pytest.mark.parametrize("sigma", [1, 2])
def test_a_blur_that_is_known_is_undone(psnr, sigma):
    image = photograph()
    blurred = blur(image, sigma)
    restored = create_model("wiener", blur=sigma)(blurred)
    assert psnr(restored, image) > psnr(blurred, image) + 1
    # At the border, too, where a filter that joins opposite borders rings by 5 dB and more.
    border = torch.ones(image.shape[-2:], dtype=torch.bool)
    border[6:-6, 6:-6] = False
    assert psnr(restored[..., border], image[..., border]) > psnr(
        blurred[..., border], image[..., border]
    )


def test_the_blur_it_assumes_matters(psnr):
    image = photograph()
    blurred = blur(image, 2)
    right, wrong = (psnr(create_model("wiener", blur=b)(blurred), image) for b in (2, 1))
    assert right > wrong + 0.5


def test_equal_images_come_out_equal():
    x = torch.rand(1, 3, 20, 30)
    model = create_model("wiener")
    y = model(x.repeat(2, 1, 1, 1))
    assert torch.equal(y[0], y[1])
    assert torch.equal(model(x), y[:1])


@pytest.mark.parametrize(("channels", "size"), [(1, (1, 1)), (3, (2, 9)), (4, (16, 17))])
def test_any_size_and_number_of_channels(channels, size):
    y = create_model("wiener", in_channels=channels)(torch.rand(1, channels, *size))
    assert y.shape == (1, channels, *size)
    assert torch.isfinite(y).all()


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_blur_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match=f"blur (is|=) {value}"):
        create_model("wiener", blur=value)
