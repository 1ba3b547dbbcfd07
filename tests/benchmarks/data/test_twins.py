"""The generator of twin patches: pairs lie where they are said to, and nothing else repeats."""

from collections import defaultdict

import numpy as np
import pytest

from benchmarks.data import datasets, twins
from benchmarks.data.datasets import DatasetNotFound, load_dataset, load_folder
from benchmarks.data.leaks import find_leaks
from benchmarks.data.sought import list_sought
from benchmarks.data.twins import TESTS, draw, list_drawings

NAMES = sorted(TESTS)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """A cache of the tests' own, and no image sets."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("KGT_CACHE", str(folder))
        patch.delenv("KGT_DATA", raising=False)
        yield folder


def find_places(image):
    """Places (block, row, column in pixels within it) of each texture of 8x8 pixels."""
    places = defaultdict(list)
    for top in range(0, 128, 8):
        for left in range(0, 128, 8):
            cell = image[top : top + 8, left : left + 8]
            if np.ptp(cell):
                block = top // 64, left // 64
                places[cell.tobytes()].append((block, top % 64, left % 64))
    return places


@pytest.mark.parametrize("name", NAMES)
def test_twins_lie_apart_by_the_distance_among_so_many_others(name):
    distance, distractors = map(int, name.removeprefix("twins-d").split("-n"))
    for drawing in list(list_drawings(name).values())[:3]:
        places = find_places(draw(drawing))
        pairs = [own for own in places.values() if len(own) == 2]
        lone = [own for own in places.values() if len(own) == 1]
        assert len(pairs) + len(lone) == len(places)
        # At distance 48 the middle of a full block has no cell 48 pixels away.
        full = (distance, distractors) == (48, 62)
        assert len(pairs) == 4 * (24 if full else (distractors + 2) // 2)
        assert len(lone) == 4 * (16 if full else 0)
        for (block, row, column), (other, lower, right) in pairs:
            assert block == other
            assert sorted((abs(lower - row), abs(right - column))) == [0, distance]
            # One window of 16, 32 or 64 pixels holds both, the smallest that can.
            side = next(side for side in (16, 32, 64) if side > distance)
            assert (row // side, column // side) == (lower // side, right // side)


def test_pairs_lie_along_rows_and_along_columns():
    directions = set()
    for drawing in list_drawings("twins-d16-n14").values():
        for own in find_places(draw(drawing)).values():
            directions.add(own[0][1] == own[1][1])
    assert directions == {True, False}


def test_textures_are_white_and_normal():
    image = draw(list_drawings("twins-d8-n62")["twins-d8-n62-00"]).astype(float)
    # Twins are one sample: 2 x 64 x 3 x 32 of 4 blocks.
    assert image.mean() == pytest.approx(128, abs=4 * 40 / np.sqrt(image.size / 2))
    assert image.std() == pytest.approx(40, rel=0.02)
    rough = (image - 128) / 40
    for shifted in (rough[1:] * rough[:-1], rough[:, 1:] * rough[:, :-1]):
        assert abs(shifted.mean()) < 0.02
    assert abs((rough[..., 0] * rough[..., 1]).mean()) < 0.02
    assert np.mean(np.abs(rough) < 1) == pytest.approx(0.683, abs=0.01)


def test_ground_is_flat_and_of_the_mean():
    image = draw(list_drawings("twins-d8-n0")["twins-d8-n0-00"])
    assert np.mean((image == 128).all(axis=-1)) == pytest.approx(1 - 2 / 64, abs=1e-3)


def test_no_texture_is_in_two_images_of_the_same_or_another_set():
    seen = {}
    for name in ("twins", *NAMES):
        for stem, drawing in [*list_drawings(name).items()][:14]:
            for texture in find_places(draw(drawing)):
                assert seen.setdefault(texture, stem) == stem
    seeds = [d.seed for name in ("twins", *NAMES) for d in list_drawings(name).values()]
    assert len(set(seeds)) == len(seeds) == 12 * (18 + 24)


def test_the_last_twelve_for_training_are_of_all_kinds():
    drawings = list_drawings("twins")
    last = [drawings[name].layout for name in load_dataset("twins", "train").paths][-12:]
    assert sorted(last) == sorted(TESTS.values())


def test_a_set_is_made_once_and_read_like_any_other(cache, monkeypatch):
    dataset = load_dataset("twins-d32-n14")
    assert dataset.coverage == "18 of 18"
    (path,) = {item.path.parent for item in dataset}
    assert path.is_relative_to(cache)
    for item, drawing in zip(dataset, list_drawings("twins-d32-n14").values(), strict=True):
        assert np.array_equal(item.image, draw(drawing))
    digest = dataset.digest
    next(path.iterdir()).unlink()
    monkeypatch.setattr(twins, "cv2", None)
    with pytest.raises(AttributeError):  # what is missing is drawn anew
        load_dataset("twins-d32-n14")
    monkeypatch.undo()
    assert len(load_dataset("twins-d32-n14")) == 18
    assert load_dataset("twins-d32-n14").digest == digest


def test_only_the_set_for_training_can_be_trained_on():
    assert len(load_dataset("twins", "train")) == 12 * 24
    with pytest.raises(ValueError, match="no 'train' split"):
        load_dataset("twins-d8-n0", "train")
    with pytest.raises(ValueError, match="no 'test' split"):
        load_dataset("twins")


def test_a_cache_that_takes_no_files_is_said(monkeypatch):
    def refuse(name):
        raise OSError("cannot write")

    monkeypatch.setattr(datasets, "write_set", refuse)
    with pytest.raises(DatasetNotFound, match=r"twins-d8-n0 is made here.*cannot write"):
        load_dataset("twins-d8-n0")


def test_they_are_not_looked_for_in_others_but_others_are_in_folders_of_that_name(tmp_path):
    tests = list_sought()
    assert not [one for one in tests if one.name.startswith("twins")]
    generated = load_dataset("twins", "train")
    assert generated.is_generated
    assert find_leaks(generated, tests) == []
    folder = tmp_path / "twins"
    folder.mkdir()
    (folder / "a.png").write_bytes(next(iter(generated)).path.read_bytes())
    own = load_folder(folder)
    assert own.name == "twins"
    assert not own.is_generated
