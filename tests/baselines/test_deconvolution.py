"""A shake is found in a photograph, and undone."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve
from skimage.data import astronaut, chelsea

from baselines.deconvolution import LARGEST, RADIUS, append_undone, deconvolve, estimate_shake

SIDE = 2 * RADIUS + 1


def photograph(size=(320, 480)):
    return astronaut()[: size[0], : size[1]] / 255


def light(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def values(light):
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def draw(path):
    """The shake along points [n, 2], its centroid in the middle."""
    kernel = np.zeros((SIDE, SIDE))
    for row, column in path - path.mean(0) + RADIUS:
        for r in (math.floor(row), math.floor(row) + 1):
            for c in (math.floor(column), math.floor(column) + 1):
                kernel[r, c] += (1 - abs(row - r)) * (1 - abs(column - c))
    return kernel / kernel.sum()


def line(angle, length):
    """Straight, at even speed."""
    steps = np.linspace(-length / 2, length / 2, 200)
    return draw(np.outer(steps, (math.sin(angle), math.cos(angle))))


def wander(seed, length=8):
    """Of a velocity that drifts."""
    drift = np.random.default_rng(seed).normal(size=(40, 2))
    path = drift.cumsum(0).cumsum(0)
    path *= length / np.ptp(path, axis=0).max()
    times = np.linspace(0, len(path) - 1, 400)
    return draw(np.stack([np.interp(times, range(len(path)), axis) for axis in path.T], axis=1))


def hook():
    """A shake that turns, and stays longer at one end."""
    kernel = np.zeros((SIDE, SIDE))
    kernel[RADIUS - 2, RADIUS - 3 : RADIUS + 3] = 1
    kernel[RADIUS - 2 : RADIUS + 4, RADIUS + 2] = 2
    kernel = kernel / kernel.sum()
    offsets = np.arange(SIDE) - RADIUS
    shift = [-round(float((kernel.sum(axis) * offsets).sum())) for axis in (1, 0)]
    return np.roll(kernel, shift, (0, 1))


def shake(image, kernel):
    """What scipy makes of [h, w, 3]: light collected along the shake, in 8 bits."""
    blurred = np.stack([convolve(light(image[..., c]), kernel) for c in range(3)], -1)
    return np.floor(values(blurred) * 255 + 0.5) / 255


def as_batch(image, dtype=torch.float32):
    return torch.from_numpy(image).permute(2, 0, 1)[None].to(dtype)


SHAKES = {
    "level": line(0, 6),
    "steep": line(1.2, 7),
    "falling": line(-0.6, 5),
    "hook": hook(),
    **{f"wander {seed}": wander(seed) for seed in range(4)},
}


@pytest.mark.parametrize("name", SHAKES)
def test_a_known_shake_is_undone(name, psnr):
    image = photograph()
    clean, blurred = as_batch(image), as_batch(shake(image, SHAKES[name]))
    restored = deconvolve(blurred, torch.from_numpy(SHAKES[name])[None].float())
    assert restored.shape == blurred.shape
    assert psnr(restored, clean) > psnr(blurred, clean) + 2.5


@pytest.mark.slow
def test_unknown_shakes_are_found_and_undone(psnr):
    image = photograph()
    gains = []
    for true in SHAKES.values():
        clean, blurred = as_batch(image), as_batch(shake(image, true))
        found = estimate_shake(blurred)[0].numpy()
        assert (found * true).sum() / np.sqrt((found**2).sum() * (true**2).sum()) > 0.7
        gains.append(psnr(append_undone(blurred)[:, 3:], clean) - psnr(blurred, clean))
    assert min(gains) > 0.5
    assert np.mean(gains) > 2


@pytest.mark.parametrize("name", ["hook", "wander 1", "wander 2"])
def test_a_shake_is_a_path_and_no_cloud(name):
    """Fur, whose edges are blurred already by depth, suggests more than a hundred displacements."""
    kernel = estimate_shake(as_batch(shake(chelsea() / 255, SHAKES[name])))
    assert 2 <= kernel.count_nonzero() <= 45


def test_the_wiener_filter_is_its_formula():
    """Noise over signal rises with the frequency."""
    moves = [(0.6, 0, 0), (0.2, 0, 1), (0.1, 1, -1), (0.1, -1, -1)]
    kernel = np.zeros((SIDE, SIDE))
    for share, row, column in moves:
        kernel[RADIUS + row, RADIUS + column] = share
    image = np.full((100, 120), 0.5)
    image[40:60, 50:70] = np.random.default_rng(0).uniform(0.4, 0.6, (20, 20))
    canvas = np.full((256, 320), light(0.5))
    canvas[:100, :120] = light(image)
    down, right = np.fft.fftfreq(256)[:, None], np.fft.fftfreq(320)
    response = sum(
        share * np.exp(-2j * np.pi * (down * row + right * column)) for share, row, column in moves
    )
    noise = 0.02 * (np.sin(np.pi * down) ** 2 + np.sin(np.pi * right) ** 2 + 0.1)
    inverse = 1.002 * response.conj() / (np.abs(response) ** 2 + noise)
    expected = values(np.fft.ifft2(np.fft.fft2(canvas) * inverse).real[:100, :120])
    found = deconvolve(torch.from_numpy(image)[None, None], torch.from_numpy(kernel)[None])
    assert found.dtype == torch.float64
    assert np.abs(found[0, 0].numpy() - expected).max() < 1e-5
    assert np.abs(expected - image).max() > 0.05


def test_where_the_kernel_lies_in_its_array_moves_nothing():
    blurred = as_batch(shake(photograph(), SHAKES["hook"]))
    kernel = torch.from_numpy(SHAKES["hook"])[None].float()
    moved = kernel.roll((2, -1), (1, 2))
    torch.testing.assert_close(
        deconvolve(blurred, moved), deconvolve(blurred, kernel), rtol=0, atol=1e-4
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 70)),
    channels=st.sampled_from([1, 3]),
    contrast=st.sampled_from([0.0, 0.01, 1.0]),
    seed=st.integers(0, 99),
)
def test_a_shake_is_a_share_of_the_exposure(size, channels, contrast, seed):
    generator = torch.Generator().manual_seed(seed)
    image = 0.5 + contrast * (torch.rand(2, channels, *size, generator=generator) - 0.5)
    kernel = estimate_shake(image)
    assert kernel.shape == (2, SIDE, SIDE)
    assert (kernel >= 0).all()
    torch.testing.assert_close(kernel.sum((1, 2)), torch.ones(2))
    undone = append_undone(image)
    assert undone.shape == (2, 2 * channels, *size)
    assert undone[:, :channels].equal(image)
    assert ((undone >= 0) & (undone <= 1)).all()


def test_the_centroid_is_in_the_middle_pixel():
    offsets = torch.arange(SIDE) - RADIUS
    for kernel in (SHAKES["hook"], SHAKES["wander 0"]):
        found = estimate_shake(as_batch(shake(photograph(), kernel)))[0]
        assert abs((found.sum(0) * offsets).sum()) <= 0.51
        assert abs((found.sum(1) * offsets).sum()) <= 0.51


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_what_has_no_edges_stays(value):
    image = torch.full((1, 3, 50, 60), value)
    kernel = estimate_shake(image)[0]
    assert kernel[RADIUS, RADIUS] == 1
    torch.testing.assert_close(deconvolve(image, kernel[None]), image, rtol=0, atol=1e-5)


def test_images_of_a_batch_are_apart():
    images = [as_batch(shake(photograph(), SHAKES[name])) for name in ("level", "steep")]
    both = append_undone(torch.cat(images))
    for image, found in zip(images, both, strict=True):
        torch.testing.assert_close(append_undone(image)[0], found, rtol=0, atol=1.01 / 255)


def test_bytes_give_what_their_values_give():
    image = shake(photograph(size=(60, 80)), SHAKES["falling"])
    exact = append_undone(as_batch(image))
    steps = append_undone((as_batch(image) * 255).round().to(torch.uint8))
    assert steps.dtype == torch.uint8
    assert steps.equal((exact * 255).round().to(torch.uint8))
    torch.testing.assert_close(steps / 255, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types_stay_what_they_are(dtype):
    image = as_batch(shake(photograph(size=(60, 80)), SHAKES["falling"]), dtype)
    undone = append_undone(image)
    assert undone.dtype == dtype
    assert undone[:, :3].equal(image)
    assert torch.isfinite(undone).all()
    assert estimate_shake(image).dtype == torch.promote_types(dtype, torch.float32)


def test_a_large_image_is_judged_by_its_middle():
    image = as_batch(shake(photograph(size=(512, 512)), SHAKES["level"]))
    wide = torch.rand(1, 3, LARGEST + 40, LARGEST + 100)
    wide[..., 20:-20, 50:-50] = image
    assert estimate_shake(wide).equal(estimate_shake(image))


def test_nan_is_passed_on():
    image = torch.rand(1, 3, 40, 40)
    image[0, 0, 5, 5] = torch.nan
    assert append_undone(image).isnan().any()
