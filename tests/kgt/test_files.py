import os
import stat
import subprocess
import sys

import pytest

from kgt.files import replace_when_complete, write_atomically


def test_a_file_appears_whole_in_a_folder_that_is_made(tmp_path):
    write_atomically(tmp_path / "a/b/c.txt", "é")
    assert (tmp_path / "a/b/c.txt").read_bytes() == "é".encode()
    assert [*(tmp_path / "a/b").iterdir()] == [tmp_path / "a/b/c.txt"]


def test_a_failure_leaves_the_file_before_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(TypeError), replace_when_complete(path) as file:
        file.write("half of it")  # text, where bytes are expected
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]


def test_a_link_that_waits_under_the_temporary_name_is_not_followed(tmp_path, monkeypatch):
    victim, names = tmp_path / "victim", iter(["taken", "free"])
    victim.write_text("precious")
    (tmp_path / ".taken.part").symlink_to(victim)
    monkeypatch.setattr("secrets.token_hex", lambda count: next(names))
    write_atomically(tmp_path / "a.txt", "new")
    assert victim.read_text() == "precious"
    assert (tmp_path / "a.txt").read_text() == "new"
    assert not (tmp_path / "a.txt").is_symlink()


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    code = "import sys; from pathlib import Path; from kgt.files import write_atomically as w; "
    code += "w(Path(sys.argv[1]), 'through')"
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "pipe")])
    assert (tmp_path / "pipe").read_text() == "through"
    assert writer.wait() == 0
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    out = subprocess.run([sys.executable, "-c", code, "/dev/stdout"], capture_output=True)
    assert out.stdout == b"through"


def test_a_folder_that_cannot_be_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot write 3 bytes to .*file/a\.txt: .*name a folder"):
        write_atomically(tmp_path / "file/a.txt", "new")
