"""The machine as what jobs share, or reserve whole."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Timer

from kgt.cache import find_in_cache
from kgt.cli import say
from kgt.files import locked


@contextmanager
def reserve_machine(alone: bool) -> Iterator[None]:
    """Share this machine with the jobs of all sweeps of this user, or wait until it is empty.

    Who waits holds the door, so that a job that wants to be alone is not passed by others.
    """
    door, room = (find_in_cache(f"machines/{platform.node()}.{part}") for part in ("door", "room"))
    with ExitStack() as stack:
        with ExitStack() as at_door:
            _enter(at_door, door, shared=False)
            _enter(stack, room, shared=not alone)
        yield


def _enter(stack: ExitStack, path: Path, shared: bool) -> None:
    """Take a lock into a stack, and say so where one has to wait longer than others pass a door."""
    notice = Timer(1, say, ("sweep", "waits until other jobs on this machine have ended"))
    notice.start()
    try:
        stack.enter_context(locked(path, shared=shared))
    finally:
        notice.cancel()
