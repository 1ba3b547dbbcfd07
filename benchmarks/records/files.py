"""Files that are whole or not there, even after a crash or on a full disk."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Put a file in its place in one step, its content on the disk before its name.

    Raises:
        OSError: naming the file and what is left of the one before: all of it.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        kept = "the file of before is untouched" if path.exists() else "nothing is left behind"
        raise OSError(
            error.errno,
            f"cannot write {len(content):,} bytes to {path}: {error.strerror}; {kept}; make room "
            "and run the same command again",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
