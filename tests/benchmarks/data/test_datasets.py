import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from benchmarks.data.datasets import (
    MANIFEST,
    DatasetNotFound,
    list_datasets,
    load_dataset,
)
from benchmarks.data.images import combine_digests, digest_pixels

DATA = Path(os.environ.get("KGT_DATA", "unset"))


@pytest.fixture
def photograph():
    return np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)


@pytest.fixture
def set5(tmp_path, monkeypatch, photograph):
    """A data root whose Set5 has two images."""
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    folder = tmp_path / "Set5" / "HR"
    folder.mkdir(parents=True)
    Image.fromarray(photograph).save(folder / "bird.png")
    Image.fromarray(photograph[..., 0]).save(folder / "baby.bmp")
    return folder


def present_sets(split):
    for name in list_datasets(split):
        try:
            yield load_dataset(name, split)
        except DatasetNotFound:
            continue


def test_no_test_image_is_in_a_training_split():
    train = {item.digest: item.name for dataset in present_sets("train") for item in dataset}
    test = {item.digest: item.name for dataset in present_sets("test") for item in dataset}
    assert train.keys().isdisjoint(test.keys())
    assert len(train) >= 14
    assert {"astronaut", "camera", "chelsea", "coffee"} <= set(test.values())


TRAINABLE = {
    *("embedded", "BSD400", "BSDS500", "DIV2K", "Flickr2K", "WED"),
    *("GoPro", "Outdoor-Rain", "RainDrop", "Snow100K", "twins"),
}


def test_training_sets_are_these():
    assert set(list_datasets("train")) == TRAINABLE


@pytest.mark.parametrize("name", sorted(set(MANIFEST) - TRAINABLE))
def test_test_sets_cannot_be_trained_on(name):
    with pytest.raises(ValueError, match=r"no 'train' split.*sets with one: BSD400, BSDS500"):
        load_dataset(name, split="train")


@pytest.mark.parametrize("split", ["test", "train"])
def test_embedded_needs_no_data_root(monkeypatch, split):
    monkeypatch.delenv("KGT_DATA", raising=False)
    dataset = load_dataset("embedded", split)
    assert [item.name for item in dataset] == sorted(MANIFEST["embedded"][split].stems)
    assert dataset.coverage == f"{len(dataset)} of {len(dataset)}"


def test_embedded_images_are_those_of_scikit_image():
    images = {item.name: item.image for item in load_dataset("embedded")}
    assert np.array_equal(images["astronaut"], skimage.data.astronaut())
    assert np.array_equal(images["camera"], skimage.data.camera())


def test_embedded_test_split_has_not_changed():
    # Every number on this set depends on these pixels.
    digest = load_dataset("embedded").digest
    assert digest == "5d92e5d3536aab5891b9cec38f189aa99cfb3bd2135654d451281cf1ba97a24c"


def test_iterates_in_order_and_decodes_lazily(set5, photograph):
    (set5 / "butterfly.png").write_bytes(b"not an image")
    baby, bird, butterfly = load_dataset("Set5")
    assert [baby.name, bird.name, butterfly.name] == ["baby", "bird", "butterfly"]
    assert np.array_equal(bird.image, photograph)
    assert np.array_equal(baby.image, photograph[..., 0])
    with pytest.raises(OSError, match="butterfly"):
        _ = butterfly.image


def test_partial_set_states_its_coverage(set5):
    assert load_dataset("Set5").coverage == "2 of 5"


@pytest.mark.skipif(not (DATA / "Urban100").is_dir(), reason="KGT_DATA has no Urban100")
def test_urban100_coverage_is_counted():
    dataset = load_dataset("Urban100")
    assert dataset.coverage == f"{len(list((DATA / 'Urban100' / 'HR').iterdir()))} of 100"


def test_other_files_are_ignored(set5):
    (set5 / "README.txt").write_text("hello")
    assert len(load_dataset("Set5")) == 2


def test_unknown_name_lists_the_valid_ones():
    with pytest.raises(ValueError, match=r"'Set6'; valid: Set5, .*BSD100, .*embedded"):
        load_dataset("Set6")


def test_missing_root_says_how_to_set_it(monkeypatch):
    monkeypatch.delenv("KGT_DATA", raising=False)
    with pytest.raises(
        DatasetNotFound, match=r"14 images expected in \$KGT_DATA/Set14/HR.*not set"
    ):
        load_dataset("Set14")


@pytest.mark.parametrize(("name", "count"), [("Set14", 14), ("BSD100", 100), ("Manga109", 109)])
def test_missing_set_names_folder_and_count(tmp_path, monkeypatch, name, count):
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    with pytest.raises(DatasetNotFound) as caught:
        load_dataset(name)
    message = str(caught.value)
    assert str(tmp_path / name / "HR") in message
    assert f"{count} images expected" in message
    assert "KGT_DATA" in message


def test_empty_folder_is_a_missing_set(set5):
    for path in set5.iterdir():
        path.unlink()
    with pytest.raises(DatasetNotFound, match="none found"):
        load_dataset("Set5")


def test_bsd100_is_taken_from_bsds500_where_it_has_no_folder_of_its_own(set5, photograph):
    root = set5.parents[1]
    for folder in ("BSDS500/val", "BSD100/HR"):
        (root / folder).mkdir(parents=True)
        Image.fromarray(photograph).save(root / folder / "101085.png")
        assert load_dataset("BSD100").folder == root / folder
        assert load_dataset("BSD100").coverage == "1 of 100"


def test_sets_of_the_same_images_say_so():
    tests = {name: splits["test"] for name, splits in MANIFEST.items() if "test" in splits}
    digests = Counter(entry.digest for entry in tests.values() if entry.digest)
    twice = {entry.digest for entry in tests.values() if entry.same_as}
    assert {digest for digest, count in digests.items() if count > 1} == twice
    assert all(tests[e.same_as].digest == e.digest for e in tests.values() if e.same_as)


def test_more_images_than_published_are_refused(set5, photograph):
    for index in range(4):
        Image.fromarray(photograph).save(set5 / f"extra{index}.png")
    with pytest.raises(ValueError, match=r"6 images.*published set has 5"):
        load_dataset("Set5")


def test_two_files_of_one_stem_are_refused(set5, photograph):
    Image.fromarray(photograph).save(set5 / "bird.webp", lossless=True)
    with pytest.raises(ValueError, match="share a stem"):
        load_dataset("Set5")


@given(image=arrays(np.uint8, array_shapes(min_dims=2, max_dims=3)), data=st.data())
def test_digest_sees_every_pixel_and_the_shape(image, data):
    index = tuple(data.draw(st.integers(0, side - 1)) for side in image.shape)
    changed = image.copy()
    changed[index] ^= 1
    assert digest_pixels(changed) != digest_pixels(image)
    assert digest_pixels(image[None]) != digest_pixels(image)
    assert digest_pixels(image.astype(np.int16)) != digest_pixels(image)
    assert digest_pixels(np.asfortranarray(image)) == digest_pixels(image)


def test_set_digest_covers_names_and_pixels(set5, photograph):
    before = load_dataset("Set5").digest
    (set5 / "bird.png").rename(set5 / "head.png")
    renamed = load_dataset("Set5").digest
    Image.fromarray(255 - photograph).save(set5 / "head.png")
    assert len({before, renamed, load_dataset("Set5").digest}) == 3
    assert combine_digests(["a", "b"]) != combine_digests(["b", "a"])


def test_low_resolution_files_are_found_beside_the_set(set5, photograph):
    dataset = load_dataset("Set5")
    assert not dataset.ships_low_resolution(2)
    folder = set5.parent / "LR_bicubic" / "X2"
    folder.mkdir(parents=True)
    Image.fromarray(photograph[::2, ::2]).save(folder / "birdx2.png")
    assert dataset.ships_low_resolution(2)
    assert np.array_equal(dataset.read_low_resolution("bird", 2), photograph[::2, ::2])
    with pytest.raises(DatasetNotFound, match="babyx2"):
        dataset.read_low_resolution("baby", 2)
