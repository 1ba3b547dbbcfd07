"""What is kept of every command's results when it is killed, stopped, or cannot read or write."""

import os
import re
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from tests.faults.commands import COMMANDS
from tests.faults.server import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]
ALONE = [name for name in COMMANDS if name != "reproduce"]
FAILURE, KILLED = 3, -signal.SIGKILL


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def wholes(server, tmp_path_factory):
    """Folders of runs that were left alone."""
    folders = {}
    for name in ALONE:
        command, folder = COMMANDS[name](), tmp_path_factory.mktemp(name)
        command.prepare(folder)
        assert run(server, command, folder) == 0
        folders[name] = folder
    return folders


@pytest.fixture(params=COMMANDS)
def command(request, tmp_path):
    made = COMMANDS[request.param]()
    made.name = request.param
    made.prepare(tmp_path)
    return made


@pytest.fixture
def small_disk(tmp_path):
    """Returns a function that makes FOLDER/out a disk of its own, of some pages, for root."""
    out = tmp_path / "out"
    out.mkdir()

    def mount(*options):
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(out)], check=False
        )
        if made.returncode:
            pytest.skip("only root can mount a disk that is full or read-only")
        return out

    yield mount
    subprocess.run(["umount", str(out)], check=False, stderr=subprocess.DEVNULL)


def start(server, command, folder):
    return server.start(command.words(folder), folder / "log", **command.environment)


def run(server, command, folder):
    return server.wait(start(server, command, folder))


def said(folder, code=None):
    text = (folder / "log").read_text()
    # multiprocessing's fork server may be in the middle of a request when its parent is killed.
    assert code == KILLED or "Traceback" not in text
    return text


def wait_for_results(command, folder):
    """Until there is something to destroy."""
    deadline, enough = time.monotonic() + 60, getattr(command, "enough", 1)
    while sum(p.stat().st_size for p in (folder / "out").glob(command.first)) < enough:
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.002)


def finish(server, command, folder, wholes):
    """Run again: what was kept is used, and the results are those of a run left alone."""
    words = [*command.words(folder), *command.last]
    assert server.run(words, folder / "log", **command.environment) == 0
    command.check_all(folder, wholes.get(command.name))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_or_stopped(server, wholes, command, tmp_path, number):
    pid = start(server, command, tmp_path)
    wait_for_results(command, tmp_path)
    # A terminal interrupts all of its processes.
    (os.killpg if number == signal.SIGINT else os.kill)(pid, number)
    code = server.wait(pid)
    # What needs a moment may have been done before the signal came.
    assert code in (0, FAILURE, -number)
    text = said(tmp_path, code)
    if code == FAILURE:
        assert re.search("interrupted|asked to end", text)
    command.check(tmp_path, wholes.get(command.name))
    finish(server, command, tmp_path, wholes)


def test_full_disk(server, wholes, command, tmp_path, small_disk):
    out = small_disk("size=16k")
    with suppress(OSError), (out / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    assert run(server, command, tmp_path) == FAILURE
    assert "No space left" in said(tmp_path)
    # A file of records may be there, as empty as it was made.
    assert [p.name for p in out.rglob("*") if p.is_file() and p.stat().st_size] == ["filler"]
    subprocess.run(["mount", "-o", "remount,size=64m", str(out)], check=True)
    (out / "filler").unlink()
    finish(server, command, tmp_path, wholes)


def test_read_only_folder(server, command, tmp_path, small_disk):
    out = small_disk("ro")
    begin = time.monotonic()
    assert run(server, command, tmp_path) == FAILURE
    assert "Read-only file system" in said(tmp_path)
    assert not [*out.iterdir()]
    assert time.monotonic() - begin < 60


def test_two_at_once(server, wholes, command, tmp_path):
    pids = [start(server, command, tmp_path) for _ in range(2)]
    if command.name == "reproduce":
        wait_for_results(command, tmp_path)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert [server.wait(pid) for pid in pids] == [KILLED] * 2
    else:
        assert [server.wait(pid) for pid in pids] == [0, 0]
        command.check_all(tmp_path, wholes[command.name])
        said(tmp_path)


def test_cut_file(server, command, tmp_path):
    if command.first != "*":
        pid = start(server, command, tmp_path)
        wait_for_results(command, tmp_path)
        os.kill(pid, signal.SIGKILL)
        server.wait(pid)
        # What outlives it for a moment goes on in the file that it has.
        (tmp_path / "log").unlink()
        (tmp_path / "log").touch()
    expected, words = command.cut(tmp_path)
    before = {path: path.read_bytes() for path in command.files(tmp_path).values()}
    if expected is None:
        pid = start(server, command, tmp_path)
        deadline = time.monotonic() + 60
        while words not in (tmp_path / "log").read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        code = server.wait(pid)
    else:
        code = run(server, command, tmp_path)
        assert code == expected
    assert words in said(tmp_path, code)
    # What was there stays there, or grows.
    for path, content in before.items():
        assert path.read_bytes().startswith(content), path
