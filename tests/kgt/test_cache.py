import os
from pathlib import Path

import pytest

from kgt.cache import find_in_cache, keep_in_cache, why_distrusted


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch, tmp_path):
    for name in ("KGT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def last(tmp_path):
    return tmp_path / "temporary" / f"kgt-{os.getuid()}" / "file"


def test_folders_that_are_named_come_first(monkeypatch, tmp_path):
    assert find_in_cache("file") == tmp_path / "home/.cache/kgt/file"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert find_in_cache("file") == tmp_path / "xdg/kgt/file"
    monkeypatch.setenv("KGT_CACHE", "/dev/null/mine")
    assert find_in_cache("a/file") == Path("/dev/null/mine/a/file")


def test_without_a_home_temporary_files_have_the_cache(monkeypatch, last):
    for home in ("/dev/null", "/dev/null/nobody"):
        monkeypatch.setenv("HOME", home)
        assert find_in_cache("file") == last

    def fail():
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", fail)
    assert find_in_cache("file") == last


def test_a_home_that_takes_no_files_is_read(monkeypatch, tmp_path, last):
    kept = tmp_path / "home/.cache/kgt/file"
    kept.parent.mkdir(parents=True)
    kept.touch()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.F_OK and access(path, mode))
    assert find_in_cache("file") == kept
    assert find_in_cache("other") == last.with_name("other")


def test_a_usual_folder_that_others_can_write_is_passed_over(tmp_path, last):
    folder = tmp_path / "home/.cache/kgt"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert "can be written by every user" in why_distrusted(folder)
    assert find_in_cache("file") == last


def test_what_can_be_made_again_is_kept_where_that_can_be_done(tmp_path):
    keep_in_cache(tmp_path / "folder" / "file", "text")
    assert (tmp_path / "folder" / "file").read_text() == "text"
    keep_in_cache(tmp_path / "folder" / "file" / "within", "text")
    assert (tmp_path / "folder" / "file").read_text() == "text"
