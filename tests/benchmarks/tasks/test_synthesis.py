import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.tasks.deblurring import shake_camera, shake_kernel
from benchmarks.tasks.synthesis import decode_srgb, encode_srgb, seed_of
from benchmarks.tasks.weather import (
    Drop,
    add_fog,
    add_rain,
    add_raindrops,
    add_snow,
    cover,
    draw_depth,
    draw_flakes,
    draw_streaks,
    refract,
)

ALL = [shake_camera, add_rain, add_snow, add_raindrops]


@pytest.fixture(scope="module")
def photograph():
    rows, columns = np.mgrid[:96, :128]
    waves = [127 + 100 * np.sin(rows / 7 + phase) * np.cos(columns / 9) for phase in (0, 1, 2)]
    return np.stack(waves, axis=-1).astype(np.uint8)


@pytest.mark.parametrize("degrade", ALL)
def test_the_name_alone_decides(degrade, photograph):
    first = degrade(photograph, "a")
    assert first.shape == photograph.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, degrade(photograph, "a"))
    assert not np.array_equal(first, degrade(photograph, "b"))
    assert not np.array_equal(first, photograph)


@pytest.mark.parametrize("degrade", ALL)
@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 40, 3), (17, 16)])
def test_small_and_gray_images_are_degraded_too(degrade, shape):
    image = np.full(shape, 90, np.uint8)
    assert degrade(image, "small").shape == shape


def test_srgb_is_decoded_and_encoded_by_the_standard():
    levels = np.arange(256, dtype=np.uint8)
    light = decode_srgb(levels)
    assert np.array_equal(encode_srgb(light), levels)
    # IEC 61966-2-1: 18 % gray is level 118, half the light is level 188.
    assert encode_srgb(np.array([0.18, 0.5])).tolist() == [118, 188]
    assert (np.diff(light) > 0).all()


@given(st.integers(0, 2**32 - 1), st.integers(8, 400))
def test_the_shake_spends_the_whole_exposure_around_its_center(seed, side):
    kernel = shake_kernel(np.random.default_rng(seed), side)
    size = kernel.shape[0]
    assert kernel.shape == (size, size)
    assert size % 2 == 1
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1)
    offsets = np.arange(size) - size // 2
    assert kernel.sum(1) @ offsets == pytest.approx(0, abs=1e-9)
    assert kernel.sum(0) @ offsets == pytest.approx(0, abs=1e-9)
    touched = np.argwhere(kernel > 0)
    assert np.ptp(touched, axis=0).max() <= max(3, 0.03 * side) + 3


def test_the_shake_keeps_flat_images_and_the_mean_light(photograph):
    flat = np.full((40, 50, 3), 200, np.uint8)
    assert np.array_equal(shake_camera(flat, "x"), flat)
    dark = np.zeros((64, 64), np.uint8)
    dark[28:36, 28:36] = 255
    light = decode_srgb(shake_camera(dark, "x"))
    assert light.sum() == pytest.approx(64, rel=0.02)


def test_light_is_added_before_the_srgb_curve():
    """Half black and half white are level 188 in the blur, not the 128 of averaged pixels."""
    lines = np.zeros((120, 120), np.uint8)
    lines[::2] = 255
    lines[:, :] = lines if shake_camera(lines, "up").std() < 60 else lines.T
    assert shake_camera(lines, "up").mean() == pytest.approx(188, abs=3)


def test_fog_is_koschmieders_law():
    light = np.array([[0.0, 0.2, 0.5, 1.0]])
    near, far = np.zeros((1, 4)), np.full((1, 4), 50.0)
    assert np.array_equal(add_fog(light, near, 1.0, 0.8), light)
    np.testing.assert_allclose(add_fog(light, far, 1.0, 0.8), 0.8)
    one = add_fog(light, np.full((1, 4), np.log(2)), 1.0, 0.8)
    np.testing.assert_allclose(one, (light + 0.8) / 2)
    # Two layers in a row act as one of their summed depth.
    np.testing.assert_allclose(
        add_fog(add_fog(light, near + 1, 0.3, 0.8), near + 2, 0.3, 0.8),
        add_fog(light, near + 3, 0.3, 0.8),
    )
    color = np.repeat(light[..., None], 3, axis=-1)
    np.testing.assert_allclose(
        add_fog(color, near + 1, 0.3, 0.8)[..., 1], add_fog(light, near + 1, 0.3, 0.8)
    )


def test_depth_grows_towards_the_top():
    depth = draw_depth(np.random.default_rng(0), 90, 120)
    assert depth.shape == (90, 120)
    assert depth.min() >= 0
    assert depth.max() <= 1
    assert depth[:20].mean() > depth[-20:].mean() + 0.4
    assert np.abs(np.diff(depth, axis=1)).max() < 0.1


def test_rain_falls_along_one_direction():
    streaks = draw_streaks(np.random.default_rng(3), 400, 400)
    assert streaks.min() >= 0
    assert streaks.max() < 1
    along = np.corrcoef(streaks[4:].ravel(), streaks[:-4].ravel())[0, 1]
    across = np.corrcoef(streaks[:, 4:].ravel(), streaks[:, :-4].ravel())[0, 1]
    assert along > across + 0.1


def test_flakes_grow_with_their_radius_and_number():
    def coverage(radius, density):
        return draw_flakes(np.random.default_rng(0), 200, 200, radius, density).mean()

    assert 0 < coverage(2.0, 1e-3) < coverage(4.0, 1e-3) < coverage(4.0, 4e-3) < 1
    assert coverage(4.0, 0.0) == 0


def test_what_covers_hides_and_adds_light():
    light = np.array([[[0.1, 0.4, 0.9]]])
    assert np.array_equal(cover(light, np.array([[0.0]]), 0.7), light)
    assert np.array_equal(cover(light, np.array([[1.0]]), 0.7), np.full((1, 1, 3), 0.7))
    np.testing.assert_allclose(cover(light, np.array([[0.5]]), 0.7), (light + 0.7) / 2)


def test_snow_and_rain_only_brighten_a_black_scene():
    black = np.zeros((80, 100, 3), np.uint8)
    for degrade in (add_snow, add_rain):
        assert degrade(black, "night").mean() > 0
    white = np.full((80, 100, 3), 255, np.uint8)
    assert add_snow(white, "day").min() > 240


def test_a_drop_shows_the_scene_upside_down():
    rows = np.linspace(0, 1, 201)[:, None]
    light = np.broadcast_to(rows, (201, 201)).copy()
    seen, opacity = refract(light, [Drop(100.0, 100.0, 12.0)])
    assert (opacity > 0).sum() == pytest.approx(np.pi * 12**2, rel=0.1)
    assert opacity[100, 100] == 1
    assert opacity[100, 120] == 0
    inside = seen[94:107, 100]
    # Six times as steep as the scene, the other way, and a tenth darker.
    np.testing.assert_allclose(np.diff(inside), -6 * 0.9 / 200, rtol=0.05)
    assert inside[6] == pytest.approx(0.9 * 0.5, abs=0.01)


def test_pixels_beside_the_drops_are_unchanged(photograph):
    wet = add_raindrops(photograph, "window")
    share = (wet == photograph).all(axis=2).mean()
    assert 0.2 < share < 0.98


def test_kinds_have_seeds_of_their_own():
    assert seed_of("rain", "a").random() != seed_of("snow", "a").random()
    assert seed_of("rain", "a").random() == seed_of("rain", "a").random()
