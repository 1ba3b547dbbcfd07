"""Files that are whole or not there, even after a crash or on a full disk."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_when_complete(path: Path) -> Iterator[Path]:
    """Where to write what becomes `path` in one step, unless an exception is raised.

    The name is short, random and new, in the folder of `path`: it fits where the file's own name
    does, nobody can foresee it, and two processes never share it.

    Raises:
        OSError: where the folder takes no file.
    """
    while True:
        unfinished = path.with_name(f".{secrets.token_hex(6)}.part")
        try:
            os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            break
        except FileExistsError:
            continue
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Put a file in its place in one step, its content on the disk before its name.

    Args:
        path: the file.
        content: its bytes, or text that is written as UTF-8.

    Raises:
        OSError: naming the file and what is left of the one before: all of it.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        with replace_when_complete(path) as unfinished:
            unfinished.write_bytes(data)
    except OSError as error:
        kept = "the file of before is untouched" if path.exists() else "nothing is left behind"
        raise OSError(
            error.errno,
            f"cannot write {len(data):,} bytes to {path}: {error.strerror}; {kept}; make room "
            "and run the same command again",
        ) from error
