from pathlib import Path

import pytest

from kgt.command.jobs import plan_jobs


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder, and a function that puts empty files there."""
    monkeypatch.chdir(tmp_path)

    def put(*names):
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).touch()

    return put


def plan(*inputs, out, **options):
    return {str(job.source): str(job.target) for job in plan_jobs(inputs, out, **options)}


@pytest.mark.parametrize(
    ("out", "target"),
    [
        ("b.png", "b.png"),
        ("new/b.JPG", "new/b.JPG"),
        ("new", "new/a.b.png"),
        ("new.png/", "new.png/a.b.png"),
        ("there.v2", "there.v2/a.b.png"),
    ],
)
@pytest.mark.parametrize("text", ["a.b.jpg", "*.jpg"])
def test_one_picture_becomes_a_file_or_goes_into_a_folder(here, text, out, target):
    here("a.b.jpg", "there.v2/other.txt")
    assert plan(text, out=out) == {"a.b.jpg": target}


def test_several_go_into_a_folder(here):
    here("a.jpg", "b.tif", "photos/c.png", "photos/d.JPEG")
    assert plan("a.jpg", "b.tif", "photos/*", out="out") == {
        "a.jpg": "out/a.png",
        "b.tif": "out/b.png",
        "photos/c.png": "out/c.png",
        "photos/d.JPEG": "out/d.png",
    }


def test_subfolders_stay(here):
    here("photos/a.jpg", "photos/x/a.jpg", "photos/x/y/b.webp", "photos/notes.txt")
    expected = {
        "photos/a.jpg": "out/a.png",
        "photos/x/a.jpg": "out/x/a.png",
        "photos/x/y/b.webp": "out/x/y/b.png",
    }
    assert plan("photos", out="out") == expected


def test_patterns_reach_into_subfolders_and_from_the_root(here, tmp_path):
    here("photos/x/a.jpg", "photos/b.jpg")
    expected = {"photos/b.jpg": "out/b.png", "photos/x/a.jpg": "out/a.png"}
    assert plan("photos/**/*.jpg", out="out") == expected
    assert plan(f"{tmp_path}/photos/*.jpg", out="out") == {f"{tmp_path}/photos/b.jpg": "out/b.png"}


def test_results_and_hidden_files_are_no_inputs(here):
    here("photos/a.jpg", "photos/._a.jpg", "photos/out/z.png")
    assert plan("photos", out="photos/out") == {"photos/a.jpg": "photos/out/a.png"}
    assert plan("photos/*.jpg", out="new") == {"photos/a.jpg": "new/a.png"}


def test_hidden_folders_are_left_alone_unless_they_are_named(here):
    here("photos/a.jpg", "photos/.thumbnails/a.jpg", ".album/b.jpg", "photos/x/.y/z/c.jpg")
    assert plan("photos", out="out") == {"photos/a.jpg": "out/a.png"}
    assert plan("photos/**/*.jpg", out="out") == {"photos/a.jpg": "out/a.png"}
    assert plan(".album", out="out") == {".album/b.jpg": "out/b.png"}
    assert plan(".album/*.jpg", out="out/") == {".album/b.jpg": "out/b.png"}


def test_results_may_go_above_or_beside_their_pictures(here):
    here("photos/raw/a.jpg")
    assert plan("photos/raw", out="photos") == {"photos/raw/a.jpg": "photos/a.png"}
    assert plan("photos/raw", out="photos/new") == {"photos/raw/a.jpg": "photos/new/a.png"}
    assert plan(".", out="out") == {"photos/raw/a.jpg": "out/photos/raw/a.png"}


def test_a_folder_may_be_restored_in_its_place(here):
    here("photos/a.png", "photos/x/b.png")
    expected = {"photos/a.png": "photos/a.png", "photos/x/b.png": "photos/x/b.png"}
    assert plan("photos", out="photos", force=True) == expected


@pytest.mark.parametrize(
    ("inputs", "out", "message"),
    [
        (["absent.png"], "out", r"no file, folder or match of absent\.png"),
        (["*.gif"], "out", r"match of \*\.gif"),
        (["a.jpg", "absent.png"], "out", r"absent\.png"),
        (["empty"], "out", "no pictures are in empty"),
        (["a.jpg", "b.jpg"], "out.png", r"out\.png is a file; name a folder"),
        (["photos"], "out.png", r"out\.png is a file; name a folder"),
        (["a.jpg", "b.jpg"], "old.txt", r"old\.txt is a file; name a folder"),
        (["a.jpg"], "b.bmp", r"'\.bmp'; written are"),
        (["a.jpg"], "b.jpg", r"b\.jpg exists; --force"),
        (["a.jpg", "b.jpg"], "photos", r"photos/a\.png exists; --force"),
        (["a.jpg", "a.tif"], "out", r"a\.jpg and a\.tif would both become out/a\.png"),
        (["photos", "photos/x/*"], "out", r"photos/a\.png and .* would both become out/a\.png"),
    ],
)
def test_wrong_use_is_told(here, inputs, out, message):
    here("a.jpg", "a.tif", "b.jpg", "photos/a.png", "photos/x/a.png", "empty/notes.txt", "old.txt")
    with pytest.raises(ValueError, match=message):
        plan(*inputs, out=out)


def test_existing_files_are_counted(here):
    here("a.jpg", "b.jpg", "c.jpg", "out/a.png", "out/c.png")
    with pytest.raises(ValueError, match=r"out/a\.png and 1 more exists"):
        plan("*.jpg", out="out")
    assert len(plan("*.jpg", out="out", force=True)) == 3
