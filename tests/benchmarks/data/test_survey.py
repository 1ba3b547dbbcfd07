import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from benchmarks import doctor
from benchmarks.data.datasets import load_dataset
from benchmarks.data.manifest import MANIFEST, Split
from benchmarks.data.survey import survey_split


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
    enter(digest=load_dataset("toy").digest())
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
    for kind in ("input", "target"):
        folder = tmp_path / name / kind
        folder.mkdir(parents=True)
        for index in range(count):
            (folder / f"{index}.png").touch()
    report = survey_split(name, "test")
    assert (report.state, report.images) == ("wrong version", count)


def test_kodak_is_the_uncropped_version(tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    save(tmp_path / "Kodak24", [f"kodim{n:02}" for n in range(1, 25)], (500, 500))
    report = survey_split("Kodak24", "test")
    assert report.state == "wrong version"
    assert "500x500; expected 512x768, 768x512" in report.detail


def test_command_covers_the_manifest(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    assert doctor.main(["data", "--json"]) == 0
    reports = json.loads(capsys.readouterr().out)
    states = {(report["name"], report["split"]): report["state"] for report in reports}
    assert set(states) == {(name, split) for name in MANIFEST for split in MANIFEST[name]}
    assert {name for (name, _), state in states.items() if state == "complete"} == {"embedded"}
    save(tmp_path / "RainDrop" / "input", "ab")
    monkeypatch.setitem(
        MANIFEST, "RainDrop", {"test": replace(MANIFEST["RainDrop"]["test"], count=1)}
    )
    assert doctor.main(["data"]) == 1
    assert "wrong version RainDrop/test: 2 of 1" in capsys.readouterr().out
