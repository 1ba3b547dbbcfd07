import cv2
import numpy as np
import pytest

from benchmarks.tasks.colors import (
    COLORS,
    luma_bt601,
    luma_bt601_uint8,
    luma_full,
    to_gray,
    to_rgb,
)


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)


def test_luma_equals_the_formula_of_the_standard(rgb):
    weighted = 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]
    # The customary matrix has three decimals of the studio range.
    np.testing.assert_allclose(luma_bt601(rgb), 16 + 219 / 255 * weighted, atol=2e-3)
    np.testing.assert_allclose(luma_full(rgb), weighted, atol=0.51)


@pytest.mark.parametrize(("level", "luma"), [(0, 16), (255, 235)])
def test_luma_spans_the_studio_range(level, luma):
    assert luma_bt601(np.full((2, 2, 3), level, np.uint8)) == pytest.approx(luma)
    assert (luma_bt601_uint8(np.full((2, 2, 3), level, np.uint8)) == luma).all()
    assert (luma_full(np.full((2, 2, 3), level, np.uint8)) == level).all()


def test_rounded_luma_is_that_of_swinir(rgb):
    # The formula of its util.bgr2ycbcr, on RGB.
    expected = (rgb @ [65.481, 128.553, 24.966] / 255.0 + 16.0).round().astype(np.uint8)
    assert np.array_equal(luma_bt601_uint8(rgb), expected)


def test_full_range_luma_is_how_opencv_reads_color_as_gray(tmp_path, rgb):
    # Its PNG decoder does this in integers of its own, so that single levels differ.
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]))
    read = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(int)
    assert np.abs(luma_full(rgb) - read).max() <= 1


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1)])
@pytest.mark.parametrize("color", sorted(COLORS))
def test_gray_is_read_as_equal_channels(color, shape):
    gray = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    repeated = np.repeat(gray.reshape(5, 6, 1), 3, axis=2)
    assert np.array_equal(COLORS[color](gray), COLORS[color](repeated))


def test_gray_is_the_mean_of_the_channels(rgb):
    np.testing.assert_allclose(to_gray(rgb), rgb.mean(axis=2))
    assert to_rgb(rgb) is rgb
