import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.quality.protocols import PROTOCOLS, crop_border, get_protocol, quantize

SR = PROTOCOLS["sr-y601-crop-scale"]


@pytest.fixture
def target():
    return np.random.default_rng(0).integers(0, 256, (32, 28, 3), dtype=np.uint8)


def test_sr_psnr_equals_a_computation_by_hand(target):
    prediction = target / 255 + np.random.default_rng(1).normal(0, 0.05, target.shape)
    rounded = np.floor(np.clip(prediction, 0, 1) * 255 + 0.5)
    weights = np.array([65.481, 128.553, 24.966]) / 255
    error = (rounded @ weights - target @ weights)[3:-3, 3:-3]
    expected = 10 * math.log10(255**2 / (error**2).mean())
    assert SR.score(prediction, target, scale=3)["psnr"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_exactly_the_border_is_cropped(target, scale):
    prediction = target / 255
    prediction[:scale], prediction[:, -scale:] = 0, 1
    assert SR.score(prediction, target, scale)["psnr"] == math.inf
    prediction[scale, scale] = 1 - prediction[scale, scale]
    assert SR.score(prediction, target, scale)["psnr"] < math.inf


def test_rounding_comes_before_the_metric(target):
    assert SR.score(target / 255 + 0.49 / 255, target, 2)["psnr"] == math.inf
    assert SR.score(target / 255 + 0.51 / 255, target, 2)["psnr"] < 60


def test_gray_target_against_a_color_prediction(target):
    gray = target[..., 0]
    prediction = np.repeat(gray[..., None], 3, axis=2) / 255
    assert SR.score(prediction, gray, 2) == {"psnr": math.inf, "ssim": pytest.approx(1)}


def test_quantize_rounds_half_up():
    # Half to even would turn an even level plus a half back to the level.
    ties = [level + 0.5 for level in range(0, 255, 2) if (level + 0.5) / 255 * 255 == level + 0.5]
    assert len(ties) > 100
    for tie in ties:
        assert quantize(np.array([tie / 255])) == tie + 0.5
        assert quantize(np.array([(tie - 1e-4) / 255])) == tie - 0.5


@given(st.floats(-1e30, 1e30))
def test_quantize_clips_and_is_idempotent(value):
    levels = quantize(np.array([value]))
    assert levels == (0 if value < 0 else 255 if value > 1 else levels)
    assert quantize((levels / 255).astype(np.float32)) == levels


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_predictions_are_refused(target, bad):
    prediction = target / 255
    prediction[0, 0, 0] = bad
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        SR.score(prediction, target, 2)


def test_other_size_is_refused(target):
    with pytest.raises(ValueError, match=r"\(31, 28, 3\).*\(32, 28, 3\)"):
        SR.score(target[1:] / 255, target, 2)


def test_crop_that_leaves_too_little_is_refused(target):
    with pytest.raises(ValueError, match="at least 11x11 pixels, got 10x20"):
        SR.score(target[:18] / 255, target[:18], 4)
    assert crop_border(target, 0).shape == target.shape


def test_registered_under_their_own_names():
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    assert get_protocol("sr-y601-crop-scale") is SR
    assert str(SR) == "sr-y601-crop-scale@1"
    with pytest.raises(ValueError, match=r"'psnr'.*valid names: .*sr-y601-crop-scale"):
        get_protocol("psnr")


def test_text_follows_the_rules():
    assert "\n" not in SR.text
    assert "sr-y601-crop-scale@1" in SR.text
    assert "border crop scale" in SR.text
    assert "psnr, ssim (ssim-valid)" in SR.text
    assert "border crop 10" in dataclasses.replace(SR, border=10).text


def test_protocols_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SR.version = 2
