import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from benchmarks import doctor
from benchmarks.data.datasets import load_dataset, load_folder
from benchmarks.data.manifest import GENERATED, MANIFEST, Split
from benchmarks.data.survey import find_fault, survey_split


def save(folder, names, size=(24, 32)):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in names:
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A data root and a function that enters the set "toy" of two images in the manifest."""
    monkeypatch.setenv("KGT_DATA", str(tmp_path))

    def enter(**fields):
        monkeypatch.setitem(MANIFEST, "toy", {"test": Split("toy", 2, **fields)})

    enter()
    return tmp_path / "toy", enter


def test_complete_is_told_by_the_digest(toy):
    folder, enter = toy
    save(folder, "ab")
    assert survey_split("toy", "test").state == "complete"
    assert "counted only" in survey_split("toy", "test").detail
    enter(digest=load_dataset("toy").digest)
    assert survey_split("toy", "test").detail.startswith("digest")
    (folder / "b.png").rename(folder / "c.png")
    report = survey_split("toy", "test")
    assert report.state == "wrong version"
    assert "digest" in report.detail


def test_partial_says_how_many_belong_where(toy):
    folder, _ = toy
    save(folder, "a")
    report = survey_split("toy", "test")
    assert (report.state, report.images, report.expected) == ("partial", 1, 2)
    assert report.detail == f"1 more belong into {folder}"


def test_absent_says_where_to_put_it(toy):
    report = survey_split("toy", "test")
    assert report.state == "absent"
    assert f"expected in {toy[0]}" in report.detail


@pytest.mark.parametrize(
    ("names", "fields", "message"),
    [
        ("abc", {}, "3 images, 2 belong to the set"),
        ("a", {"impostors": {1: "half a copy"}}, "1 images: half a copy"),
        ("abc", {"impostors": {3: "another half"}}, "3 images: another half"),
        ("ab", {"sizes": ((32, 24),)}, "2 images of other sizes, such as 24x32; expected 32x24"),
    ],
)
def test_wrong_versions_are_told_by_count_and_size(toy, names, fields, message):
    folder, enter = toy
    enter(**fields)
    save(folder, names)
    report = survey_split("toy", "test")
    assert (report.state, report.detail) == ("wrong version", message)


def test_unreadable_images_make_a_set_partial(toy):
    folder, _ = toy
    save(folder, "ab")
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:200])
    report = survey_split("toy", "test")
    assert report.state == "partial"
    assert "1 unusable" in report.detail
    assert "b.png" in report.detail


def test_pairs_are_checked(toy):
    folder, enter = toy
    enter(pairs="deblur")
    save(folder / "input", "ab")
    save(folder / "target", "ab")
    assert survey_split("toy", "test").state == "complete"
    (folder / "input" / "a.png").unlink()
    report = survey_split("toy", "test")
    assert report.state == "partial"
    assert "a.png has no input" in report.detail


@pytest.mark.parametrize(("name", "count"), [("Snow100K-L", 16611), ("RainDrop", 249)])
def test_known_wrong_copies_are_told_by_their_count(name, count, tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    split = MANIFEST[name]["test"]
    # Two images stand for as many as such a copy has.
    few = replace(split, impostors={2: split.impostors[count]})
    monkeypatch.setitem(MANIFEST, name, {"test": few})
    for kind in ("input", "target"):
        save(tmp_path / name / kind, "ab")
    report = survey_split(name, "test")
    assert (report.state, report.detail) == ("wrong version", f"2 images: {few.impostors[2]}")


def test_kodak_is_the_uncropped_version(tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    save(tmp_path / "Kodak24", [f"kodim{n:02}" for n in range(1, 25)], (500, 500))
    report = survey_split("Kodak24", "test")
    assert report.state == "wrong version"
    assert "500x500; expected 512x768, 768x512" in report.detail


def test_the_same_images_under_two_names_are_told(toy, monkeypatch, capsys):
    folder, _ = toy
    # The last one first, for what is deleted last comes back first.
    for name in reversed([name for name in MANIFEST if name != "toy"]):
        monkeypatch.delitem(MANIFEST, name)
    save(folder, "ab")
    other = folder.with_name("other")
    save(other, "xyz")
    (other / "x.png").unlink()
    Image.open(folder / "a.png").save(other / "x.webp", lossless=True)
    monkeypatch.setitem(MANIFEST, "other", {"test": Split("other", 3)})
    assert doctor.main(["data"]) == 0
    line = "same images   all 2 images of toy/test are also in other/test, pixel by pixel"
    assert line in capsys.readouterr().out.splitlines()
    monkeypatch.setitem(MANIFEST, "toy", {"test": Split("toy", 2, part_of="other/test")})
    assert doctor.main(["data"]) == 0
    assert "same images" not in capsys.readouterr().out


def test_command_covers_the_manifest(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    assert doctor.main(["data", "--json"]) == 0
    reports = json.loads(capsys.readouterr().out)
    states = {(report["name"], report["split"]): report["state"] for report in reports}
    assert set(states) == {(name, split) for name in MANIFEST for split in MANIFEST[name]}
    assert {name for (name, _), state in states.items() if state == "complete"} == {
        "embedded",
        *GENERATED,
    }
    save(tmp_path / "RainDrop" / "input", "ab")
    monkeypatch.setitem(
        MANIFEST, "RainDrop", {"test": replace(MANIFEST["RainDrop"]["test"], count=1)}
    )
    assert doctor.main(["data"]) == 1
    assert "wrong version RainDrop/test: 2 of 1" in capsys.readouterr().out


def test_a_set_that_is_not_whole_is_told_in_a_sentence(toy):
    folder, enter = toy
    save(folder, "ab")
    assert find_fault(load_dataset("toy")) == ""
    enter(digest=load_dataset("toy").digest)
    assert find_fault(load_dataset("toy")) == ""
    save(folder, "b", size=(8, 8))
    assert find_fault(load_dataset("toy")).startswith("toy is not the published set: the pixels")
    (folder / "b.png").unlink()
    expected = f"toy is not the published set: 1 more belong into {folder}"
    assert find_fault(load_dataset("toy")) == expected
    enter()
    assert find_fault(load_dataset("toy")) == expected
    assert find_fault(load_folder(folder)) == ""
