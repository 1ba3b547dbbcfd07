from itertools import combinations

import numpy as np
import pytest

from benchmarks.report import signs

# How a reader without cones for long, or medium, waves sees linear red, green and blue
# (Machado, Oliveira and Fernandes 2009, severity 1).
SEEN = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def see(color, how):
    """A color as such a reader sees it, in CIELAB."""
    rgb = np.array([int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(SEEN[how]) @ linear, 0, 1) if how else linear
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ linear / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("how", [None, *sorted(SEEN)])
@pytest.mark.parametrize("table", ["MODELS", "BACKENDS"])
def test_signs_are_told_apart_by_color_or_by_marker(table, how):
    for (one, first), (other, second) in combinations(getattr(signs, table).items(), 2):
        distance = np.linalg.norm(see(first.color, how) - see(second.color, how))
        assert distance > 12 or first.marker != second.marker, (one, other, distance)


def list_signs():
    """By table, the signs of those with a name and of what has none."""
    models = [*signs.MODELS.values(), signs.sign_of_model("another")]
    return models, [*signs.BACKENDS.values(), signs.sign_of_backend("another")]


def test_no_model_has_the_color_of_a_backend():
    models, backends = list_signs()
    for model in models:
        for backend in backends:
            distance = np.linalg.norm(see(model.color, None) - see(backend.color, None))
            assert distance > 10, (model, backend, distance)


@pytest.mark.parametrize("how", [None, *sorted(SEEN)])
def test_arms_of_a_study_are_told_apart_by_color(how):
    for one, other in combinations(signs.ARMS, 2):
        assert np.linalg.norm(see(one, how) - see(other, how)) > 15, (one, other)


def test_no_arm_has_the_color_of_a_model_or_of_a_backend():
    for sign in (sign for table in list_signs() for sign in table):
        for arm in signs.ARMS:
            assert np.linalg.norm(see(arm, None) - see(sign.color, None)) > 10, (arm, sign)


def test_every_sign_is_seen_on_white():
    colors = [sign.color for table in list_signs() for sign in table]
    for color in (*colors, *signs.ARMS):
        assert signs.contrast(color, "#ffffff") >= 3, color


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_every_shade_is_seen_on_white(count):
    colors = [sign.color for table in list_signs() for sign in table]
    for color in (*colors, signs.LEVELS):
        for index in range(count):
            assert signs.contrast(signs.shade(color, index, count), "#ffffff") >= 3, color


@pytest.mark.parametrize("how", [None, *sorted(SEEN)])
def test_what_is_for_and_against_us_differs_to_every_reader(how):
    pairs = [(signs.FOR, signs.AGAINST), (signs.VERDICTS["HOLDS"], signs.VERDICTS["FAILS"])]
    pairs += [(signs.MODELS["kgt"].color, signs.MODELS["swinir"].color)]
    for one, other in pairs:
        assert np.linalg.norm(see(one, how) - see(other, how)) > 40


def test_no_color_is_green():
    tables = (signs.MODELS, signs.BACKENDS)
    colors = [sign.color for table in tables for sign in table.values()] + [
        *signs.VERDICTS.values()
    ]
    for color in colors:
        red, green, blue = (int(color[n : n + 2], 16) for n in (1, 3, 5))
        assert not green > 1.15 * max(red, blue), color


def test_verdicts_are_read_on_white_and_with_white_on_them():
    assert all(signs.contrast(color, "#ffffff") >= 4.5 for color in signs.VERDICTS.values())


@pytest.mark.parametrize("share", np.linspace(-1.5, 1.5, 13))
def test_numbers_are_read_on_every_color_of_a_difference(share):
    color = signs.blend(share)
    assert signs.contrast(color, signs.ink_on(color)) >= 4.5


def test_a_difference_goes_from_one_end_to_the_other():
    assert (signs.blend(-2), signs.blend(0), signs.blend(1)) == (
        signs.AGAINST,
        signs.EVEN,
        signs.FOR,
    )
    assert signs.contrast("#000000", "#ffffff") == pytest.approx(21)


def test_shades_of_levels_grow_darker_and_stay_within_the_count():
    shades = [signs.shade("#0072b2", index, 4) for index in range(4)]
    lights = [see(color, None)[0] for color in shades]
    assert lights == sorted(lights, reverse=True)
    assert len({*shades}) == 4
    with pytest.raises(ValueError, match="no shade 4 of 4"):
        signs.shade("#0072b2", 4, 4)


def test_a_model_has_its_sign_under_every_description():
    assert (
        signs.sign_of_model("kgt-tiny-x4:k=16") == signs.sign_of_model("KGT") == signs.MODELS["kgt"]
    )
    assert signs.sign_of_model("deconvolved-kgt-tiny-deblur") == signs.MODELS["kgt"]
    assert signs.sign_of_backend("torch-gather, whole") == signs.BACKENDS["torch-gather"]
    assert signs.sign_of_model("menon") not in signs.MODELS.values()


def test_variants_of_one_backend_are_told_apart_and_others_keep_their_color():
    names = ["torch-gather", "native", "torch-gather, whole"]
    colors = signs.color_apart(names, signs.sign_of_backend)
    assert colors["native"] == signs.BACKENDS["native"].color
    first, second = colors["torch-gather"], colors["torch-gather, whole"]
    assert signs.contrast(first, second) > 1.5
