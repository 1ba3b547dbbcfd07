"""Test sets are known where they are absent, by features that ship."""

import re
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from skimage import data as photographs

from benchmarks import doctor
from benchmarks.data import features
from benchmarks.data.datasets import DatasetNotFound, find_dataset
from benchmarks.data.features import FEATURES_FILE, Features, read_shipped
from benchmarks.data.manifest import GENERATED, MANIFEST, Split, find_whole
from benchmarks.data.sought import list_sought

ROOT = Path(__file__).parents[3]


def known():
    names = MANIFEST.keys() - GENERATED
    return {(name, split) for name in names for split in MANIFEST[name] if split != "train"}


def test_what_ships_belongs_to_test_sets_and_is_small():
    assert set(read_shipped()) <= known()
    assert FEATURES_FILE.stat().st_size < 2e6
    for (name, split), shipped in read_shipped().items():
        entry = MANIFEST[name][split]
        assert not entry.digest or shipped.digest == entry.digest, name
        assert len(shipped.features) <= entry.count
        for one in shipped.features.values():
            assert 10 <= len(one.places) <= 96
            assert (one.places.max(axis=0) < (one.width, one.height)).all()
            assert np.linalg.norm(one.descriptors, axis=1) == pytest.approx(1, abs=1e-5)


def test_sets_without_features_are_named_in_the_docs():
    text = " ".join((ROOT / "docs" / "measuring.md").read_text().split())
    none, some = re.search(r"There are none yet of (.+?), and not all of (.+?)\.", text).groups()
    shipped = read_shipped()
    wholes = {find_whole(*key) for key in shipped}
    absent = {name for name, split in known() if find_whole(name, split) not in wholes}
    assert set(re.split(", | and ", none)) == absent - {"embedded"}
    partial = [
        name
        for (name, split), one in shipped.items()
        if len(one.features) < MANIFEST[name][split].count
    ]
    assert partial == [some]


@pytest.mark.usefixtures("data_root")
@pytest.mark.parametrize(("name", "split"), sorted(read_shipped()))
def test_what_ships_was_found_in_the_sets_that_are_here(name, split):
    try:
        dataset = find_dataset(name, split)
    except DatasetNotFound as error:
        pytest.skip(str(error))
    shipped = read_shipped()[name, split]
    if len(dataset) == len(shipped.features):
        assert shipped.digest == dataset.digest
    item = min(dataset, key=lambda item: item.path.stat().st_size)
    own, kept = Features.of(item.image).strongest(96), shipped.features[item.name]
    assert (own.height, own.width) == (kept.height, kept.width)
    distances = np.linalg.norm(own.places[:, None] - kept.places[None], axis=2).min(axis=1)
    assert np.mean(distances < max(own.unit, 1)) > 0.9


def test_sets_that_are_here_come_with_pixels_and_others_without(tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    monkeypatch.setenv("KGT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "Set5").mkdir()
    PIL.Image.fromarray(photographs.coffee()).save(tmp_path / "Set5" / "woman.png")
    shutil.copytree(tmp_path / "Set5", tmp_path / "copy")
    monkeypatch.setitem(MANIFEST, "copy", {"test": Split("copy", 1), "train": Split("copy", 1)})
    found = list_sought()
    assert [one.name for one in found if one.dataset] == ["embedded", "Set5"]
    images = {test.name: test for one in found for test in one.open(str)}
    assert images["Set5/woman"].read().shape == photographs.coffee().shape
    assert images["Set5/baby"].read is None
    assert images["Set12/04"].read is None
    assert not any(name.startswith("copy/") for name in images)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A data root with a set "toy" of one image, and a file of features of its own."""
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    monkeypatch.setenv("KGT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(features, "FEATURES_FILE", tmp_path / "features.npz")
    (tmp_path / "toy").mkdir()
    PIL.Image.fromarray(photographs.coffee()).save(tmp_path / "toy" / "a.png")
    monkeypatch.setitem(MANIFEST, "toy", {"test": Split("toy", 1)})
    yield tmp_path
    read_shipped.cache_clear()


def test_the_command_keeps_what_it_cannot_make(toy, capsys):
    assert doctor.main(["features"]) == 0
    assert "toy/test: 1 images" in capsys.readouterr().out
    first = (toy / "features.npz").read_bytes()
    assert set(read_shipped()) == {("toy", "test")}
    (toy / "toy").rename(toy / "gone")
    (toy / "other").mkdir()
    PIL.Image.fromarray(photographs.rocket()).save(toy / "other" / "b.png")
    MANIFEST["toy"]["val"] = Split("other", 1)
    assert doctor.main(["features"]) == 0
    assert set(read_shipped()) == {("toy", "test"), ("toy", "val")}
    (toy / "other").rename(toy / "gone-too")
    (toy / "gone").rename(toy / "toy")
    del MANIFEST["toy"]["val"]
    assert doctor.main(["features"]) == 0
    kept = read_shipped()
    assert list(kept["toy", "val"].features) == ["b"]
    assert len(first) < len((toy / "features.npz").read_bytes())
    assert doctor.main(["features"]) == 0
    assert read_shipped().keys() == kept.keys()
