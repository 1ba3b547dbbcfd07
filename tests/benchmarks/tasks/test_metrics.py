import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from benchmarks.tasks.metrics import psnr, psnr_b, ssim_3d, ssim_same_zero, ssim_valid


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
    for metric in (psnr, ssim_valid, ssim_same_zero):
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


def as_batch(image):
    """[H, W] or [H, W, C] to torch's [1, C, H, W] in float64."""
    return torch.from_numpy(np.moveaxis(np.atleast_3d(image), -1, 0)[None].astype(np.float64))


@pytest.fixture
def _in_float64():
    """torchmetrics takes its constants in the default type, and single precision shows."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("_in_float64")
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(image_pairs())
def test_psnr_and_ssim_equal_those_of_torchmetrics(pair):
    prediction, target = map(as_batch, pair)
    assert psnr(*pair) == pytest.approx(
        float(peak_signal_noise_ratio(prediction, target, data_range=255.0)), abs=1e-6
    )
    # torchmetrics reads a mirror outside of the image; 5 pixels inside, nothing of it is seen.
    _, similarity = structural_similarity_index_measure(
        prediction, target, sigma=1.5, data_range=255.0, return_full_image=True
    )
    expected = float(similarity[..., 5:-5, 5:-5].mean())
    assert ssim_valid(*pair) == pytest.approx(expected, abs=1e-5)


@settings(max_examples=10, deadline=None)
@given(image_pairs())
def test_ssim_with_zeros_outside_equals_a_convolution_of_the_framed_image(pair):
    prediction, target = pair
    framed = [np.pad(image, 5) for image in pair]
    expected = ssim_by_convolution(*framed)
    assert ssim_same_zero(prediction, target) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_a_volume_equals_that_of_torchmetrics():
    rng = np.random.default_rng(0)
    target = rng.uniform(0, 255, (20, 24, 3))
    prediction = np.clip(target + rng.normal(0, 30, target.shape), 0, 255)
    # Of the volume with its border repeated, the part that sees nothing else is the volume itself.
    volumes = [
        torch.from_numpy(np.pad(image, 5, mode="edge"))[None, None]
        for image in (prediction, target)
    ]
    _, similarity = structural_similarity_index_measure(
        *volumes, sigma=1.5, data_range=255.0, return_full_image=True
    )
    expected = float(similarity[0, 0, 5:-5, 5:-5, 5:-5].mean())
    assert ssim_3d(prediction, target) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match=r"needs color images .*\(20, 24\)"):
        ssim_3d(prediction[..., 0], target[..., 0])


def psnr_b_by_loops(x, y):
    """Yim and Bovik 2011, pair by pair of neighbors."""
    height, width = x.shape
    seams, others = [], []
    for plane in (x, x.T):
        for line in plane:
            for position in range(len(line) - 1):
                square = (line[position] - line[position + 1]) ** 2
                (seams if position % 8 == 7 else others).append(square)
    scale = math.log2(8) / math.log2(min(height, width))
    effect = scale * max(0, np.mean(seams) - np.mean(others))
    return 10 * math.log10(255**2 / (np.mean((x - y) ** 2) + effect))


@pytest.mark.parametrize("size", [(16, 16), (24, 40)])
def test_psnr_b_equals_a_computation_pair_by_pair(size):
    rng = np.random.default_rng(0)
    target = rng.integers(0, 256, size).astype(np.float64)
    blocks = target.reshape(size[0] // 8, 8, size[1] // 8, 8).mean((1, 3))
    blocky = blocks.repeat(8, 0).repeat(8, 1)
    for prediction in (blocky, np.clip(target + rng.normal(0, 9, size), 0, 255)):
        expected = psnr_b_by_loops(prediction, target)
        assert psnr_b(prediction, target) == pytest.approx(expected, abs=1e-9)
    assert psnr_b(blocky, target) < psnr(blocky, target)


def test_psnr_b_of_color_is_the_mean_over_channels():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 255, (2, 16, 24, 3))
    channels = [psnr_b_by_loops(x[..., c], y[..., c]) for c in range(3)]
    assert psnr_b(x, y) == pytest.approx(np.mean(channels), abs=1e-9)


def test_psnr_b_of_smooth_and_of_tiny_images():
    ramp = np.add.outer(np.arange(32.0), np.arange(32.0))
    assert psnr_b(ramp, ramp) == math.inf
    with pytest.raises(ValueError, match="at least 16x16 pixels, got 15x40"):
        psnr_b(np.zeros((15, 40)), np.zeros((15, 40)))


@pytest.mark.parametrize("metric", [psnr, psnr_b, ssim_valid, ssim_same_zero, ssim_3d])
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
