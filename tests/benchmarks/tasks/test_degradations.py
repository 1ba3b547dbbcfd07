import hashlib

import cv2
import numpy as np
import pytest
from colour_demosaicing import demosaicing_CFA_Bayer_Malvar2004
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.tasks import get_task
from benchmarks.tasks.demosaicking import interpolate_mosaic, sample_mosaic
from benchmarks.tasks.denoising import add_noise
from benchmarks.tasks.jpeg import compress_jpeg, jpeg_codec


@pytest.fixture
def photograph():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (48, 40), interpolation=cv2.INTER_CUBIC)


def test_swinir_noise_is_that_of_its_script(photograph):
    # In the order of the script: BGR, float32 image, float64 noise of numpy's global state.
    bgr = photograph[..., ::-1].astype(np.float32) / 255.0
    np.random.seed(seed=0)
    expected = np.float32(bgr + np.random.normal(0, 25 / 255.0, bgr.shape))[..., ::-1]
    assert np.array_equal(add_noise(photograph, "any", sigma=25, rule="swinir"), expected)


def test_restormer_noise_is_drawn_on_rgb(photograph):
    swinir = add_noise(photograph, "any", sigma=25, rule="swinir")
    restormer = add_noise(photograph, "any", sigma=25, rule="restormer")
    clean = photograph.astype(np.float32) / 255
    np.testing.assert_allclose(restormer - clean, (swinir - clean)[..., ::-1], atol=1e-6)
    gray = photograph[..., 0]
    assert np.array_equal(
        add_noise(gray, "any", sigma=25, rule="swinir"),
        add_noise(gray, "any", sigma=25, rule="restormer"),
    )


@pytest.mark.parametrize(("name", "seed_text"), [("test001", "test001.png"), ("img_004", "img")])
def test_grl_noise_is_seeded_by_the_file_name(photograph, name, seed_text):
    seed = np.frombuffer(hashlib.sha256(seed_text.encode("utf-8")).digest(), dtype="uint32")
    noise = np.random.RandomState(seed).normal(0, 50 / 255, (3, 40, 48)).astype(np.float32)
    expected = photograph / np.float32(255) + np.moveaxis(noise, 0, -1)
    np.testing.assert_allclose(
        add_noise(photograph, name, sigma=50, rule="grl"), expected, atol=1e-6
    )


@pytest.mark.parametrize("rule", ["swinir", "restormer", "grl"])
@pytest.mark.parametrize("sigma", [15, 50])
def test_noise_is_white_unclipped_and_of_its_sigma(rule, sigma):
    target = np.full((256, 256, 3), 250, np.uint8)
    noisy = add_noise(target, "flat", sigma=sigma, rule=rule)
    assert noisy.dtype == np.float32
    assert noisy.max() > 1
    residual = noisy * 255.0 - 250
    assert residual.mean() == pytest.approx(0, abs=0.02 * sigma)
    assert residual.std() == pytest.approx(sigma, rel=0.01)
    neighbors = np.corrcoef(residual[:, 1:].ravel(), residual[:, :-1].ravel())[0, 1]
    assert abs(neighbors) < 0.02


def test_noise_leaves_the_random_state_of_others_alone(photograph):
    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    add_noise(photograph, "any", sigma=25, rule="swinir")
    assert np.array_equal(np.random.get_state()[1], before)


def test_jpeg_equals_the_calls_of_swinir(photograph):
    bgr = np.ascontiguousarray(photograph[..., ::-1])
    encoded = cv2.imencode(".jpg", bgr, [int(cv2.IMWRITE_JPEG_QUALITY), 10])[1]
    expected = cv2.imdecode(encoded, 1)[..., ::-1]
    assert np.array_equal(compress_jpeg(photograph, "any", quality=10), expected)
    gray = np.ascontiguousarray(photograph[..., 0])
    encoded = cv2.imencode(".jpg", gray, [int(cv2.IMWRITE_JPEG_QUALITY), 40])[1]
    assert np.array_equal(compress_jpeg(gray, "any", quality=40), cv2.imdecode(encoded, 0))


def test_color_jpeg_halves_the_chroma(photograph):
    """In 4:2:0 the chroma of 2x2 pixels is one sample: a red and green checkerboard is lost."""
    board = np.zeros((32, 32, 3), np.uint8)
    board[..., 0] = 255 * (np.indices((32, 32)).sum(0) % 2)
    board[..., 1] = 255 - board[..., 0]
    decoded = compress_jpeg(board, "any", quality=100).astype(int)
    assert np.ptp((decoded[..., 0] - decoded[..., 1])[8:24, 8:24]) < 200


def test_the_jpeg_codec_is_recorded():
    assert cv2.__version__ in jpeg_codec()
    assert "jpeg" in jpeg_codec().split("JPEG:")[1].lower()
    assert str(get_task("jpeg-color-q10").degradations["jpeg"]) == f"jpeg-cv2@1 ({jpeg_codec()})"


def test_the_mosaic_is_rggb():
    image = np.zeros((4, 6, 3), np.uint8)
    image[...] = (10, 20, 30)
    assert np.array_equal(sample_mosaic(image)[:2, :2], [[10, 20], [20, 30]])
    assert np.array_equal(sample_mosaic(image)[2:, 4:], [[10, 20], [20, 30]])


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12))
def test_the_sensors_samples_survive_interpolation(seed, height, width):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    restored = interpolate_mosaic(image, "any")
    assert restored.shape == image.shape
    assert np.array_equal(sample_mosaic(restored), sample_mosaic(image))


def test_malvar_inside_is_that_of_colour_demosaicing(photograph):
    mosaic = sample_mosaic(photograph).astype(np.float64)
    expected = np.floor(demosaicing_CFA_Bayer_Malvar2004(mosaic, "RGGB").clip(0, 255) + 0.5)
    inside = slice(2, -2)
    restored = interpolate_mosaic(photograph, "any")
    assert np.array_equal(restored[inside, inside], expected[inside, inside])


@pytest.mark.parametrize("color", [(200, 100, 50), (0, 255, 128)])
def test_flat_colors_are_interpolated_exactly_up_to_the_border(color):
    image = np.full((9, 11, 3), color, np.uint8)
    assert np.array_equal(interpolate_mosaic(image, "any"), image)
