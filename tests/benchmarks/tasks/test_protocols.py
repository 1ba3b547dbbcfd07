import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.tasks import METRICS, PROTOCOLS, TASKS, get_metric, get_protocol
from benchmarks.tasks.colors import COLORS
from benchmarks.tasks.protocols import crop_border, quantize
from benchmarks.tasks.sizing import SIZINGS

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
    with pytest.raises(ValueError, match=r"'psnr'.*valid: .*sr-y601-crop-scale"):
        get_protocol("psnr")


def test_text_follows_the_rules():
    assert "\n" not in SR.text
    assert "sr-y601-crop-scale@1" in SR.text
    assert "border crop scale" in SR.text
    assert "psnr, ssim (ssim-valid)" in SR.text
    assert "border crop 10" in dataclasses.replace(SR, border=10).text
    grl = PROTOCOLS["denoise-color-grl"].text
    assert "images sized by crop-8; noise drawn as by grl" in grl


def test_protocols_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SR.version = 2


def test_a_name_stands_for_one_protocol():
    for task in TASKS.values():
        assert all(PROTOCOLS[protocol.name] is protocol for protocol in task.protocols)


def test_a_column_has_one_unit_sign_and_label_in_all_protocols():
    for protocol in PROTOCOLS.values():
        for name, metric, _ in [(column.name, *column[:2]) for column in protocol.columns]:
            one = get_metric(name)
            facts = ("label", "better", "unit", "digits", "key")
            assert [getattr(metric, f) for f in facts] == [getattr(one, f) for f in facts]
    assert {name: metric.better for name, metric in METRICS.items()} == {
        **dict.fromkeys(("psnr", "psnr_b", "psnr_y", "ssim", "ssim_y"), "higher"),
        "lpips": "lower",
    }


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=str)
def test_every_rule_has_a_name_that_exists(protocol):
    assert protocol.color in COLORS
    assert protocol.sizing in SIZINGS
    assert protocol.source
    assert len({column.name for column in protocol.columns}) == len(protocol.columns)
    for column in protocol.columns:
        assert column.metric.name
        assert column.color in {"", *COLORS}
        assert column.name in protocol.text
    for task in TASKS.values():
        if protocol in task.protocols and protocol.degradation:
            assert protocol.degradation in task.degradations


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=str)
def test_every_protocol_scores_gray_and_color(protocol, target):
    large = np.tile(target, (2, 2, 1))
    prediction = large / 255 * 0.9
    for truth in (large, large[..., 1]):
        scores = protocol.score(prediction, truth, 2)
        assert set(scores) == {c.name for c in protocol.columns} - set(protocol.unavailable())
        assert all(math.isfinite(value) for value in scores.values())


def test_a_column_may_have_its_own_color(target):
    native = PROTOCOLS["native"]
    prediction = target / 255
    prediction[..., 2] = 0  # blue weighs 11 % in luma, a third in RGB
    scores = native.score(prediction, target, 1)
    assert scores["psnr_y"] > scores["psnr"] + 5
    assert "psnr_y (psnr of y601-studio-float)" in native.text


def test_demosaic_protocols_differ_by_their_border():
    target = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    prediction = target / 255
    prediction[:10] = 0
    assert PROTOCOLS["demosaic-border10"].score(prediction, target, 1)["psnr"] == math.inf
    assert PROTOCOLS["demosaic-border0"].score(prediction, target, 1)["psnr"] < 20
