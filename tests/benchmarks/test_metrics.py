import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d

from benchmarks.quality.colors import luma_bt601
from benchmarks.quality.metrics import psnr, ssim_valid


def ssim_by_convolution(x, y):
    """Wang et al. 2004 with an explicit two-dimensional window, valid positions only."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def average(image):
        return convolve2d(image, window, mode="valid")

    x, y = x.astype(np.float64), y.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = average(x), average(y)
    var_x, var_y = average(x * x) - mean_x**2, average(y * y) - mean_y**2
    covariance = average(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return (numerator / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean()


@st.composite
def image_pairs(draw):
    height, width = draw(st.integers(11, 32)), draw(st.integers(11, 32))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    target = rng.integers(0, 256, (height, width)).astype(np.float64)
    noise = rng.normal(0, draw(st.floats(0.1, 80)), target.shape)
    return np.clip(target + noise, 0, 255), target


@settings(max_examples=30, deadline=None)
@given(image_pairs())
def test_psnr_and_ssim_equal_an_independent_computation(pair):
    prediction, target = pair
    mse = float(((prediction - target) ** 2).mean())
    assert psnr(prediction, target) == pytest.approx(
        20 * math.log10(255 / math.sqrt(mse)), abs=1e-9
    )
    assert ssim_valid(prediction, target) == pytest.approx(
        ssim_by_convolution(prediction, target), abs=1e-9
    )


@settings(max_examples=30, deadline=None)
@given(image_pairs())
def test_both_are_symmetric_and_see_no_orientation(pair):
    prediction, target = pair
    for metric in (psnr, ssim_valid):
        value = metric(prediction, target)
        assert metric(target, prediction) == pytest.approx(value)
        assert metric(prediction[::-1].T, target[::-1].T) == pytest.approx(value)


def test_psnr_of_known_errors():
    target = np.full((16, 16), 100.0)
    assert psnr(target + 255, target) == pytest.approx(0)
    assert psnr(target + 1, target) == pytest.approx(48.1308036, abs=1e-6)


def test_uint8_differences_do_not_wrap():
    dark, bright = np.zeros((12, 12), np.uint8), np.full((12, 12), 255, np.uint8)
    assert psnr(dark, bright) == pytest.approx(0)
    assert ssim_valid(dark, bright) == pytest.approx(1e-4, rel=1e-3)


def test_identical_images():
    image = np.random.default_rng(0).integers(0, 256, (16, 16)).astype(np.uint8)
    assert psnr(image, image) == math.inf
    assert ssim_valid(image, image) == pytest.approx(1)


def test_ssim_of_color_is_the_mean_over_channels():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 255, (2, 20, 20, 3))
    channels = [ssim_by_convolution(x[..., c], y[..., c]) for c in range(3)]
    assert ssim_valid(x, y) == pytest.approx(np.mean(channels), abs=1e-9)


def test_luma_equals_the_formula_of_the_standard():
    rgb = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    weighted = 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]
    # The customary matrix has three decimals of the studio range.
    np.testing.assert_allclose(luma_bt601(rgb), 16 + 219 / 255 * weighted, atol=2e-3)


@pytest.mark.parametrize(("level", "luma"), [(0, 16), (255, 235)])
def test_luma_spans_the_studio_range(level, luma):
    assert luma_bt601(np.full((2, 2, 3), level, np.uint8)) == pytest.approx(luma)


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1)])
def test_gray_is_read_as_equal_channels(shape):
    gray = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    rgb = np.repeat(gray.reshape(5, 6, 1), 3, axis=2)
    assert np.array_equal(luma_bt601(gray), luma_bt601(rgb))


@pytest.mark.parametrize("metric", [psnr, ssim_valid])
@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (np.zeros((12, 12)), np.zeros((12, 13)), r"\(12, 12\).*\(12, 13\)"),
        (np.zeros((0, 12)), np.zeros((0, 12)), "empty"),
        (np.full((12, 12), np.nan), np.zeros((12, 12)), "prediction has 144 NaN"),
        (np.zeros((12, 12)), np.full((12, 12), np.inf), "target has 144 NaN or inf"),
    ],
)
def test_bad_images_are_refused(metric, prediction, target, message):
    with pytest.raises(ValueError, match=message):
        metric(prediction, target)


def test_ssim_refuses_images_below_its_window():
    with pytest.raises(ValueError, match="at least 11x11 pixels, got 10x40"):
        ssim_valid(np.zeros((10, 40)), np.zeros((10, 40)))
