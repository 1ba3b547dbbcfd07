"""The machine as what jobs share, or reserve whole."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from kgt.cache import find_in_cache
from kgt.files import locked


@contextmanager
def reserve_machine(alone: bool) -> Iterator[None]:
    """Share this machine with the jobs of all sweeps of this user, or wait until it is empty.

    Who waits holds the door, so that a job that wants to be alone is not passed by others.
    """
    door, room = (find_in_cache(f"machines/{platform.node()}.{part}") for part in ("door", "room"))
    with ExitStack() as stack:
        with locked(door):
            stack.enter_context(locked(room, shared=not alone))
        yield
