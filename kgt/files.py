"""Files that are whole or not there, even after a crash or on a full disk."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replace_when_complete(path: Path) -> Iterator[BinaryIO]:
    """An empty file, open for reading and writing, that becomes `path` in one step.

    If an exception is raised, it is removed. Its name is short, random and new, in the folder of
    `path`: it fits where the file's own name does, nobody can foresee it or put a link there, and
    two processes never share it.

    Raises:
        OSError: where the folder takes no file.
    """
    while True:
        unfinished = path.with_name(f".{secrets.token_hex(6)}.part")
        try:
            number = os.open(unfinished, _NEW, 0o666)
            break
        except FileExistsError:
            continue
    try:
        with os.fdopen(number, "r+b") as file:
            yield file
            file.flush()
            os.fsync(number)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def refuse_existing(paths: Iterable[Path], force: bool) -> None:
    """Refuse files that are there, unless they may be overwritten.

    Raises:
        ValueError: naming the first of them.
    """
    existing = [path for path in paths if path.exists()]
    if existing and not force:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise ValueError(f"{existing[0]}{more} exists; --force overwrites it")


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where there is none.

    Raises:
        OSError: naming the folder and the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot make the folder {folder}: {error.strerror}; name one that can be made",
        ) from error


def write_atomically(path: Path, content: bytes | str) -> None:
    """Put a file in its place in one step, its content on the disk before its name.

    Its folder is made if need be. What is no file, as a pipe or a device, is written to.

    Args:
        path: the file.
        content: its bytes, or text that is written as UTF-8.

    Raises:
        OSError: naming the file and what is left of the one before: all of it.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        if _is_special(path):
            path.write_bytes(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_when_complete(path) as file:
            file.write(data)
    except OSError as error:
        kept = "the file of before is untouched" if path.is_file() else "nothing is left behind"
        remedy = "make room" if error.errno in _FULL else "name a folder that takes files"
        raise OSError(
            error.errno,
            f"cannot write {len(data):,} bytes to {path}: {error.strerror}; {kept}; {remedy} "
            "and run the same command again",
        ) from error


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file, which is made if need be and stays; a process that dies lets go.

    Args:
        path: the file, of which nothing but the lock is used.
        shared: hold it together with others that share it, instead of alone.
        wait: wait for those who hold it.

    Raises:
        BlockingIOError: others hold it, and one is not to wait.
        OSError: the file system has no locks, or takes no file.
    """
    make_folder(path.parent)
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            raise
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot lock {path}: {error.strerror}; name a folder of a file system with locks",
            ) from error
        yield


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, on the disk before anything else happens.

    Raises:
        OSError: it cannot be written.
    """
    make_folder(path.parent)
    with path.open("ab+") as file:
        if file.tell():
            # A line cut short by a crash must not swallow this one.
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = "\n" + line
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def _is_special(path: Path) -> bool:
    """Whether it must not be replaced: standard output, for example, whatever that leads to."""
    return (path.exists() and not path.is_file()) or path.parts[:2] == ("/", "dev")
