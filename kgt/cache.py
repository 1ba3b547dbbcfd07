"""Where what is made or fetched once is kept, with or without a home directory."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from kgt.files import write_atomically


def find_in_cache(name: str | Path) -> Path:
    """The path of a file of the cache, whether it is there or not.

    The cache is `$KGT_CACHE`; without that, `$XDG_CACHE_HOME/kgt` or `~/.cache/kgt`, or a private
    folder among temporary files where that one belongs to somebody else or takes no files and does
    not have this one.
    """
    if os.environ.get("KGT_CACHE"):
        return Path(os.environ["KGT_CACHE"], name)
    last = Path(tempfile.gettempdir(), f"kgt-{os.getuid()}")
    usual = _usual_folder()
    if usual is None or (_exists(usual) and why_distrusted(usual)):
        return last / name
    return (usual if _exists(usual / name) or _takes_files(usual) else last) / name


def keep_in_cache(path: Path, content: bytes | str) -> None:
    """Write a file that can be made again; where the cache takes none, that is no fault."""
    with suppress(OSError):
        write_atomically(path, content)


def why_distrusted(path: Path) -> str:
    """Why another user may have put something into a folder or file; empty where none may."""
    status = path.stat()
    if status.st_uid not in (0, os.getuid()):
        return f"{path} belongs to another user ({status.st_uid})"
    if status.st_mode & stat.S_IWOTH:
        return f"{path} can be written by every user"
    return ""


def make_private(folder: Path) -> None:
    """Make a folder, where there is none, that no other user can read or write.

    Raises:
        OSError: where it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _usual_folder() -> Path | None:
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"], "kgt")
    try:
        return Path.home() / ".cache" / "kgt"
    except RuntimeError:  # a user without a home directory
        return None


def _exists(path: Path) -> bool:
    """False, where `Path.exists` raises, below a folder that must not be entered."""
    return os.access(path, os.F_OK)


def _takes_files(folder: Path) -> bool:
    existing = next(path for path in (folder, *folder.absolute().parents) if _exists(path))
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
