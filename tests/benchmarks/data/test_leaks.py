"""Test images among training images are found however they were cut, and nothing else is."""

from functools import partial

import numpy as np
import PIL.Image
import pytest
from skimage import data as photographs

from benchmarks.data import leaks
from benchmarks.data.datasets import find_dataset, load_folder
from benchmarks.data.features import Features
from benchmarks.data.images import read_image
from benchmarks.data.leaks import TrainingImages, find_copies, find_leaks
from benchmarks.data.sought import Sought, SoughtSet
from tests.benchmarks.data.planting import Cut, draw_cut

PHOTOGRAPHS = {
    name: getattr(photographs, name)() for name in ("astronaut", "coffee", "chelsea", "rocket")
}
CUTS = [
    Cut(0, 0, 300, 300, 0.5, quality=70),
    Cut(40, 70, 200, 160, 2.0, mirrored=True, quality=70),
    Cut(180, 80, 200, 240, 0.7, mirrored=True, quality=70),
    Cut(180, 100, 200, 160, 1.4, quality=70),
]


def index(images):
    return TrainingImages([(name, lambda image=image: image) for name, image in images.items()])


def sought(name, image):
    return Sought(name, Features.of(image), lambda: image)


@pytest.fixture(scope="module")
def whole():
    """The photographs as they are looked for."""
    return [sought(name, image) for name, image in PHOTOGRAPHS.items()]


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_a_training_image_cut_out_of_a_test_image_is_found(cut, whole):
    images = index({f"planted {name}": cut.of(image) for name, image in PHOTOGRAPHS.items()})
    for test in whole:
        leak, *more = images.find(test)
        assert more == []
        assert leak.training == f"planted {leak.test}"
        assert (leak.test, leak.mirrored) == (test.name, cut.mirrored)
        assert leak.scale == pytest.approx(cut.scale, rel=0.03)
        assert not leak.exact
        if not cut.mirrored:
            # Where the test image lies in the training image is left and above of what was cut.
            place = (-cut.left * cut.scale, -cut.top * cut.scale)
            assert (leak.left, leak.top) == pytest.approx(place, abs=3)


def test_other_photographs_are_not():
    images = index(PHOTOGRAPHS)
    for name in ("camera", "hubble_deep_field", "brick", "grass", "retina", "text"):
        assert images.find(sought(name, getattr(photographs, name)())) == []


def test_equal_pixels_are_told_from_alike_ones():
    image = PHOTOGRAPHS["coffee"]
    gray = np.array(PIL.Image.fromarray(image).convert("L"))
    images = index({"coffee": image})
    (leak,) = images.find(sought("part", gray[70:270, 100:400]))
    assert leak.exact
    assert (leak.left, leak.top, leak.overlap) == pytest.approx((100, 70, 1), abs=0.1)
    assert "pixel by pixel" in str(leak)
    (leak,) = images.find(sought("darker", gray[70:270, 100:400] // 2))
    assert not leak.exact
    assert leak.correlation > 0.99


def test_the_share_that_is_shown_is_that_of_the_cut():
    image = PHOTOGRAPHS["coffee"]
    (leak,) = index({"half": image[:, :300]}).find(sought("coffee", image))
    assert leak.overlap == pytest.approx(300 / image.shape[1], abs=0.01)
    assert "shows 50% of coffee" in str(leak)


def test_images_without_features_and_files_that_are_damaged_are_passed_over(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    damaged = partial(read_image, tmp_path / "a.png")
    for images in (
        index({"empty": np.zeros((40, 40), np.uint8)}),
        TrainingImages([("damaged", damaged)]),
    ):
        assert images.find(sought("coffee", PHOTOGRAPHS["coffee"])) == []


def test_an_absent_image_is_known_by_its_features():
    image = PHOTOGRAPHS["coffee"]
    absent = Sought("coffee", Features.of(image).strongest(96))
    cut = Cut(100, 20, 400, 360, 0.7, mirrored=True, gray=True, quality=60)
    leak, *more = index({**PHOTOGRAPHS, "coffee": cut.of(image)}).find(absent)
    assert more == []
    assert (leak.training, leak.mirrored, leak.exact) == ("coffee", True, False)
    assert leak.correlation is None
    assert leak.scale == pytest.approx(0.7, rel=0.03)
    assert str(leak).endswith(f"mirrored, by {leak.agreeing} features")
    others = {name: other for name, other in PHOTOGRAPHS.items() if name != "coffee"}
    assert index(others).find(absent) == []


def test_features_of_the_mirror_image_are_those_of_the_image():
    image = PHOTOGRAPHS["coffee"]
    expected, mirrored = Features.of(image[:, ::-1].copy()), Features.of(image).mirror()
    distances = np.linalg.norm(expected.places[:, None] - mirrored.places[None], axis=2)
    near = distances.argmin(axis=1)
    assert np.mean(distances.min(axis=1) < 0.5) > 0.95
    errors = np.linalg.norm(expected.descriptors - mirrored.descriptors[near], axis=1)
    # A place may have several features; descriptors of others are 1 apart.
    assert np.mean(errors < 0.1) > 0.7


def write_sets(folder):
    for part, name in (("train", "a"), ("test", "b")):
        (folder / part).mkdir()
        PIL.Image.fromarray(PHOTOGRAPHS["coffee"]).save(folder / part / f"{name}.png")
    return load_folder(folder / "train"), SoughtSet.of(load_folder(folder / "test"))


def test_what_was_found_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_CACHE", str(tmp_path / "cache"))
    training, test = write_sets(tmp_path)
    (leak,) = find_leaks(training, [test])
    assert (leak.training, leak.test, leak.stem) == ("train/a", "test/b", "a")
    monkeypatch.setattr(leaks, "TrainingImages", None)
    assert find_leaks(training, [test]) == [leak]


def test_what_was_found_under_one_name_is_not_said_of_another(tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_CACHE", str(tmp_path / "cache"))
    training, test = write_sets(tmp_path)
    (tmp_path / "test").rename(tmp_path / "renamed")
    renamed = SoughtSet.of(load_folder(tmp_path / "renamed"))
    assert renamed.digest == test.digest
    (tmp_path / "renamed").rename(tmp_path / "test")
    assert [leak.test for leak in find_leaks(training, [test])] == ["test/b"]
    (tmp_path / "test").rename(tmp_path / "renamed")
    assert [leak.test for leak in find_leaks(training, [renamed])] == ["renamed/b"]


def test_a_cache_that_takes_no_files_is_no_fault(tmp_path, monkeypatch):
    (tmp_path / "cache").touch()
    monkeypatch.setenv("KGT_CACHE", str(tmp_path / "cache"))
    training, test = write_sets(tmp_path)
    assert len(find_leaks(training, [test])) == 1


def test_copies_are_told_by_their_pixels_in_any_format(tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_CACHE", str(tmp_path / "cache"))
    training, test = write_sets(tmp_path)
    assert [leak.test for leak in find_copies(training, [test])] == ["test/b"]
    (tmp_path / "train" / "a.png").unlink()
    image = PHOTOGRAPHS["coffee"].copy()
    PIL.Image.fromarray(image).save(tmp_path / "train" / "c.webp", lossless=True)
    image[0, 0] ^= 1
    PIL.Image.fromarray(image).save(tmp_path / "train" / "d.png")
    found = find_copies(load_folder(tmp_path / "train"), [test])
    assert [(leak.training, leak.test, leak.exact) for leak in found] == [
        ("train/c", "test/b", True)
    ]


def try_to_find(planted, among):
    """How many of `planted` cuts of BSDS500/train are found, and each in its image alone."""
    paths = list(find_dataset("BSDS500", "train").paths.items())[:among]
    images = TrainingImages([(name, partial(read_image, path)) for name, path in paths])
    found = 0
    for number in range(planted):
        rng = np.random.default_rng((2012, number))
        name, path = paths[int(rng.integers(len(paths)))]
        image = read_image(path)
        leaks = images.find(sought("planted", draw_cut(rng, image).of(image)))
        found += [leak.training for leak in leaks] == [name]
    return found


@pytest.mark.usefixtures("data_root")
def test_planted_cuts_are_found():
    assert try_to_find(6, among=12) == 6


@pytest.mark.slow
@pytest.mark.usefixtures("data_root")
def test_fifty_planted_cuts_are_found():
    assert try_to_find(50, among=200) == 50


@pytest.mark.usefixtures("data_root")
def test_both_leaks_of_the_public_sets_are_found():
    """Set5/woman is a training image made smaller, Set12/04 is cut out of another."""
    training = find_dataset("BSDS500", "train")
    names = ("302003", "12003", "100075", "8143")
    images = TrainingImages([(name, partial(read_image, training.paths[name])) for name in names])
    sets = (SoughtSet.of(find_dataset(name, "test")) for name in ("Set5", "Set12"))
    found = [leak for one in sets for test in one.open(str) for leak in images.find(test)]
    assert [(leak.training, leak.test) for leak in found] == [
        ("302003", "Set5/woman"),
        ("12003", "Set12/04"),
    ]
    assert found[0].scale == pytest.approx(1 / 0.72, rel=0.01)
    assert (found[1].left, found[1].top) == pytest.approx((109, 7), abs=0.1)
    assert found[1].exact
