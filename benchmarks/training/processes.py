"""The processes of a training: alone or under torchrun, and how they are asked to end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_PRECISIONS: dict[str, Literal["32-true", "bf16-mixed", "64-true"]] = {
    "float32": "32-true",
    "bfloat16": "bf16-mixed",
    "float64": "64-true",
}


def is_first_process() -> bool:
    """Whether this process is the one that writes and prints."""
    return int(os.environ.get("RANK", "0")) == 0


def make_fabric(precision: str, device: str) -> Fabric:
    """This process alone, or all that torchrun started, on several machines if need be.

    Args:
        precision: as in `Recipe`.
        device: "cpu", "cuda", or "auto".
    """
    from lightning_fabric import Fabric  # takes seconds to import

    world, local = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    fabric = Fabric(
        accelerator=device,
        devices=local,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision=_PRECISIONS[precision],
    )
    fabric.launch()
    return fabric


@contextmanager
def defer_signals() -> Iterator[threading.Event]:
    """Let SIGTERM and Ctrl-C set an event instead of ending the process; a second Ctrl-C ends it.

    Signals reach the main thread alone; in another one the event is never set.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
