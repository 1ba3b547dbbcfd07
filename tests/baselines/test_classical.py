import numpy as np
import pytest
import torch

from baselines.classical import Bicubic, Identity
from baselines.imresize import imresize


def test_identity_returns_its_input():
    x = torch.rand(2, 1, 5, 7)
    torch.testing.assert_close(Identity(in_channels=1)(x), x, rtol=0, atol=0)


@pytest.mark.parametrize(("scale", "channels"), [(2, 3), (3, 1), (4, 4)])
def test_bicubic_resizes_every_image_of_the_batch_by_itself(scale, channels):
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 9, channels), dtype=np.uint8)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    y = Bicubic(scale, in_channels=channels)(x)
    assert y.shape == (3, channels, scale * 6, scale * 9)
    assert y.dtype == x.dtype
    for image, resized in zip(images, y, strict=True):
        expected = torch.from_numpy(imresize(image, scale)).permute(2, 0, 1)
        assert torch.equal((resized * 255).round().to(torch.uint8), expected)


def test_bicubic_works_on_8_bits():
    x = torch.rand(1, 3, 6, 6)
    rounded = (x * 255).round() / 255
    assert torch.equal(Bicubic(2)(x), Bicubic(2)(rounded))


@pytest.mark.parametrize("scale", [0, 2.5])
def test_a_scale_that_is_no_positive_integer_is_refused(scale):
    with pytest.raises(ValueError, match=f"scale is {scale}"):
        Bicubic(scale)


@pytest.mark.parametrize("model", [Identity(), Bicubic()])
def test_wrong_images_are_refused(model):
    with pytest.raises(ValueError, match="1 channels"):
        model(torch.rand(1, 1, 8, 8))
    with pytest.raises(ValueError, match="NaN"):
        model(torch.full((1, 3, 8, 8), float("nan")))
