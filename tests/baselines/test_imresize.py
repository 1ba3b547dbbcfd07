import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.io import imread

from baselines.classical import Bicubic
from baselines.imresize import imresize, round_to_uint8

SET5 = Path(os.environ.get("KGT_DATA", "")) / "Set5"
needs_set5 = pytest.mark.skipif(
    "KGT_DATA" not in os.environ or not SET5.is_dir(),
    reason="KGT_DATA is not set or holds no folder Set5",
)
NAMES = ["baby", "bird", "butterfly", "head", "woman"]
BINARY = [2, 4, Fraction(1, 2), Fraction(1, 4), Fraction(1, 8)]


def cubic(x):
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def matlab_resize_rows(image, scale):
    """MATLAB's documented contributions: stretched kernel, mirrored indices, unit row sums."""
    length = image.shape[0]
    out_length = math.ceil(length * scale)
    stretch = min(float(scale), 1.0)
    width = 4 / stretch
    mirror = np.concatenate([np.arange(length), np.arange(length)[::-1]])
    rows = []
    for i in range(1, out_length + 1):
        center = i / float(scale) + 0.5 * (1 - 1 / float(scale))
        taps = math.floor(center - width / 2) + np.arange(math.ceil(width) + 2)
        weights = stretch * cubic(stretch * (center - taps))
        weights /= weights.sum()
        rows.append(np.tensordot(weights, image[mirror[(taps - 1) % (2 * length)]], axes=1))
    return np.floor(np.clip(np.stack(rows), 0, 255) + 0.5)


def matlab_imresize(image, scale):
    rows = matlab_resize_rows(image.astype(np.float64), scale)
    return np.swapaxes(matlab_resize_rows(np.swapaxes(rows, 0, 1), scale), 0, 1)


@pytest.mark.parametrize("scale", [*BINARY, 3, *map(Fraction, ("1/3", "2/3", "7/5"))], ids=str)
@pytest.mark.parametrize("shape", [(24, 36), (17, 23, 3), (5, 1), (1, 9, 2)])
def test_equals_the_matlab_formula(scale, shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    resized = imresize(image, scale)
    expected = matlab_imresize(image, scale)
    assert resized.dtype == np.uint8
    assert resized.shape == expected.shape
    # A sum that ends in exactly .5 may fall on either side, but where weights are binary fractions
    # both are exact. Rounding once, after the second pass, would differ in more than 10 %.
    differences = np.abs(resized.astype(int) - expected)
    assert differences.max() <= 1
    assert (differences > 0).mean() <= (0 if scale in BINARY else 0.01)


def test_saturated_steps_do_not_ring_beyond_the_range():
    image = np.zeros((16, 16), dtype=np.uint8)
    image[:, 8:] = 255
    resized = imresize(image, 3)
    assert (resized[:, :20] <= 128).all()
    assert (resized[:, 28:] >= 127).all()
    np.testing.assert_array_equal(resized, matlab_imresize(image, 3))


def test_a_constant_image_stays_constant():
    image = np.full((7, 10, 3), 201, dtype=np.uint8)
    for scale in (3, Fraction(1, 3), Fraction(7, 5)):
        assert np.unique(imresize(image, scale)).tolist() == [201]


def test_scale_one_is_the_identity():
    image = np.random.default_rng(1).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(imresize(image, 1), image)


def test_rounding_is_half_up_and_saturates():
    values = torch.tensor([-3.0, 0.49, 0.5, 1.5, 2.5, 254.5, 300.0], dtype=torch.float64)
    assert round_to_uint8(values).tolist() == [0, 0, 1, 2, 3, 255, 255]


@pytest.mark.parametrize(
    ("image", "scale", "error", "message"),
    [
        (np.zeros((4, 4)), 2, ValueError, "float64"),
        (np.zeros(4, np.uint8), 2, ValueError, r"\(4,\)"),
        (np.zeros((0, 4), np.uint8), 2, ValueError, r"\(0, 4\)"),
        (np.zeros((4, 4), np.uint8), 0, ValueError, "scale is 0"),
        (np.zeros((4, 4), np.uint8), 1 / 3, TypeError, r"Fraction\(1, 3\)"),
    ],
)
def test_wrong_input_is_named(image, scale, error, message):
    with pytest.raises(error, match=message):
        imresize(image, scale)


@needs_set5
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_set5_equals_the_files_made_by_matlab(name, scale):
    image = imread(SET5 / "HR" / f"{name}.png")
    height, width = (side - side % scale for side in image.shape[:2])
    expected = imread(SET5 / f"LR_bicubic/X{scale}/{name}x{scale}.png")
    resized = imresize(image[:height, :width], Fraction(1, scale))
    np.testing.assert_array_equal(resized, expected)


@needs_set5
@pytest.mark.parametrize(("scale", "golden"), [(2, 33.673), (3, 30.403), (4, 28.429)])
def test_bicubic_reaches_the_published_psnr(scale, golden):
    def luma(image):
        return 16 + image.astype(np.float64) @ [65.481, 128.553, 24.966] / 255

    model = Bicubic(scale)
    psnrs = []
    for name in NAMES:
        image = imread(SET5 / f"LR_bicubic/X{scale}/{name}x{scale}.png")
        batch = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0).float() / 255
        restored = (model(batch)[0].permute(1, 2, 0) * 255).round().numpy()
        height, width = restored.shape[:2]
        target = imread(SET5 / "HR" / f"{name}.png")[:height, :width]
        error = (luma(restored) - luma(target))[scale:-scale, scale:-scale]
        psnrs.append(10 * np.log10(255**2 / (error**2).mean()))
    assert np.mean(psnrs) == pytest.approx(golden, abs=1e-3)
