"""Compiling and keeping the native library, with a compiler that takes no time."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kgt.attention import AttentionShape, choose_backend
from kgt.attention.native import NativeUnavailableError, loader

# Writes its arguments into what it is asked to make, and how often it was called into a list.
COMPILER = """\
case "$*" in *--version*) echo fake 1; exit;; esac
echo "$*" >> "$0.calls"
while [ "$1" != -o ]; do shift; done
echo made > "$2"
"""
SLOW = """\
case "$*" in *--version*) echo fake 1; exit;; esac
sleep 300 & echo $! >> "$0.pids"
wait
"""


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KGT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def calls(monkeypatch, tmp_path, cache):
    """The file with a line per call of the compiler."""
    (tmp_path / "compiler").write_text(COMPILER)
    monkeypatch.setenv("CXX", f"sh {tmp_path}/compiler -pipe")
    return tmp_path / "compiler.calls"


def count(calls):
    """How often the compiler linked."""
    return calls.read_text().count("-shared")


def test_a_library_is_compiled_once_and_is_private(calls, cache):
    library = loader.compile_library()
    assert loader.compile_library() == library
    assert count(calls) == 1
    assert cache.stat().st_mode & 0o777 == 0o700
    assert library.stat().st_mode & 0o022 == 0
    check = ["sha256sum", "--check", library.with_suffix(".sha256").name]
    subprocess.run(check, cwd=cache, check=True, capture_output=True)


@pytest.mark.parametrize("content", [b"mad", b"made\n\0", b"", b"Made\n"])
def test_a_library_that_is_not_as_it_was_compiled_is_compiled_again(calls, content):
    library = loader.compile_library()
    library.write_bytes(content)
    assert loader.compile_library().read_bytes() == b"made\n"
    assert count(calls) == 2


def test_a_library_without_its_digest_is_compiled_again(calls):
    loader.compile_library().with_suffix(".sha256").unlink()
    loader.compile_library()
    assert count(calls) == 2


def test_a_cache_that_everyone_can_write_is_refused(calls, cache):
    loader.compile_library()
    cache.chmod(0o777)
    with pytest.raises(NativeUnavailableError, match="can be written by every user; remove it, or"):
        loader.compile_library()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("of_folder", [True, False])
def test_what_belongs_to_another_user_is_refused(calls, cache, of_folder):
    library = loader.compile_library()
    os.chown(cache if of_folder else library, 65534, 65534)
    with pytest.raises(NativeUnavailableError, match=r"belongs to another user \(65534\); remove"):
        loader.compile_library()


def test_the_compiler_may_come_with_arguments(calls):
    loader.compile_library()
    lines = calls.read_text().splitlines()
    assert len(lines) == 1 + len(list(Path(loader.__file__).parent.glob("*.cpp")))
    assert all(line.startswith("-pipe ") for line in lines)


def test_a_command_that_cannot_be_read_is_a_reason(monkeypatch):
    monkeypatch.setenv("CXX", "g++ '-pipe")
    with pytest.raises(NativeUnavailableError, match=r"is no command: No closing quotation"):
        loader.find_compiler()


def test_of_two_at_once_one_compiles(calls):
    with ThreadPoolExecutor() as pool:
        libraries = {*pool.map(lambda _: loader.compile_library(), range(4))}
    assert len(libraries) == 1
    assert count(calls) == 1


def _is_running(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_compilation_that_is_ended_leaves_nothing(tmp_path, cache, calls, number, monkeypatch):
    slow = tmp_path / "slow"
    slow.write_text(SLOW)
    code = "from kgt.attention.native import loader; loader.compile_library()"
    environment = {**os.environ, "CXX": f"sh {slow}"}
    run = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL)
    sources = len(list(Path(loader.__file__).parent.glob("*.cpp")))
    pids = tmp_path / "slow.pids"
    while not pids.exists() or len(pids.read_text().split()) < sources:
        assert run.poll() is None
        time.sleep(0.05)
    run.send_signal(number)
    assert run.wait(timeout=30) == (1 if number == signal.SIGINT else -number) or (
        number == signal.SIGINT and run.returncode == -number
    )
    started = [int(pid) for pid in pids.read_text().split()]
    running = [pid for pid in started if _is_running(pid)]
    if number == signal.SIGKILL:  # nothing can clean up then but the next compilation
        assert list(cache.glob("compiling-*"))
        for pid in running:
            os.kill(pid, signal.SIGKILL)
    else:  # a compiler that was ended may take a moment to be gone
        limit = time.monotonic() + 10
        while running and time.monotonic() < limit:
            time.sleep(0.05)
            running = [pid for pid in started if _is_running(pid)]
        assert not running
    loader.compile_library()
    assert not list(cache.glob("compiling-*"))


def test_a_compiler_that_fails_leaves_its_words_in_a_file(cache):
    with pytest.raises(NativeUnavailableError, match="exit code 1") as caught:
        loader.compile_library(("-march=no-such-processor",))
    log = Path(str(caught.value).rsplit(" ", 1)[1])
    assert log.parent == cache
    assert "no-such-processor" in log.read_text()
    assert not list(cache.glob("*.so"))


def test_without_a_compiler_auto_takes_sdpa_and_native_says_why(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr("kgt.attention.native.backend.unavailable_reason", _reason_without_cache)
    asked = AttentionShape(1, 1, 16, 4, 3)
    assert choose_backend(asked).name == "sdpa"
    with pytest.raises(ValueError, match="no-such-compiler is on the PATH; install g"):
        choose_backend(asked, "native")


def _reason_without_cache():
    return loader.unavailable_reason.__wrapped__()


def test_a_cache_that_cannot_be_written_is_a_reason(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KGT_CACHE", str(tmp_path / "file"))
    with pytest.raises(NativeUnavailableError, match="set KGT_CACHE"):
        loader.compile_library()
