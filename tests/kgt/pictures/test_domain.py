"""What is outside the training of the networks that ship is found, and nothing else."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage import data as photographs

from kgt import Picture
from kgt.pictures.domain import find_mismatch

PHOTOGRAPHS = (photographs.astronaut, photographs.coffee, photographs.chelsea)


@pytest.fixture(params=PHOTOGRAPHS, ids=lambda make: make.__name__)
def photograph(request):
    return request.param()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def look_at(pixels, task):
    return find_mismatch(Picture(pixels), task)


def add(pixels, noise):
    return np.clip(pixels + noise, 0, 255).round().astype(np.uint8)


def test_a_sharp_picture_is_not_for_deblurring(photograph):
    assert "sharp already" in look_at(photograph, "deblur")


@pytest.mark.parametrize("sideways", [False, True])
def test_a_picture_that_is_shaken_along_one_axis_is(photograph, sideways):
    motion = np.eye(9)[4] / 9
    kernel = np.outer(motion * 0 + 1 / 9, np.eye(9)[4])
    kernel = kernel.T if sideways else kernel
    spread = sum(
        np.roll(photograph.astype(float), (y - 4, x - 4), (0, 1)) * kernel[y, x]
        for y, x in zip(*np.nonzero(kernel), strict=True)
    )
    assert look_at(add(spread, 0), "deblur") == ""


def test_blurred_picture_of_sixteen_bits_is(photograph):
    soft = np.array(Image.fromarray(photograph).filter(ImageFilter.GaussianBlur(3)))
    assert look_at(soft.astype(np.uint16) * 257, "deblur") == ""


@pytest.mark.parametrize("sigma", [5, 15, 50])
def test_noise_of_the_training_is_for_denoising(photograph, rng, sigma):
    assert look_at(add(photograph, rng.normal(0, sigma, photograph.shape)), "denoise-color") == ""


def test_a_clean_picture_is(photograph):
    assert look_at(photograph, "denoise-color") == ""


def test_color_noise_of_large_grains_is_not(photograph, rng):
    height, width, _ = photograph.shape
    grains = rng.normal(0, 20, (height // 2 + 1, width // 2 + 1, 3)).repeat(2, 0).repeat(2, 1)
    noisy = add(photograph, grains[:height, :width])
    assert "shrink it to half" in look_at(noisy, "denoise-color")
    halves = noisy[: height // 2 * 2, : width // 2 * 2].reshape(height // 2, 2, width // 2, 2, 3)
    assert look_at(halves.mean((1, 3)).round().astype(np.uint8), "denoise-color") == ""


def test_noise_that_went_through_the_jpeg_of_a_camera_is_not(photograph, rng):
    noisy = add(photograph, rng.normal(0, 20, photograph.shape))
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=95, subsampling="4:2:0")
    assert "shrink it to half" in look_at(np.array(Image.open(file)), "denoise-color")


def test_noise_of_gray_pictures_is_not(photograph, rng):
    gray = photograph.mean(-1, keepdims=True)
    assert "nl-means" in look_at(add(gray, rng.normal(0, 20, gray.shape)), "denoise-color")


def test_what_is_too_small_or_empty_says_nothing():
    for task in ("deblur", "denoise-color"):
        assert look_at(np.zeros((8, 200, 3), np.uint8), task) == ""
        assert look_at(np.full((200, 200, 3), 9, np.uint8), task) == ""
