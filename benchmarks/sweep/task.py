"""A job as engines see it: a command line with what it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Task:
    """What an engine starts.

    Attributes:
        name: that of the job.
        needs: names of the tasks that must have ended well before.
        alone: whether it wants all cores of a worker.
        words: what is typed behind `python`.
        log: where its standard error goes.
    """

    name: str
    needs: tuple[str, ...]
    alone: bool
    words: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class Extent:
    """How much is to run at once on this machine.

    Attributes:
        threads: torch's threads in a task, for which it gets as many cores.
        cores: those of this machine.
        asked: number of tasks at once; None leaves it to the engine.
    """

    threads: int
    cores: int
    asked: int | None = None

    @property
    def workers(self) -> int:
        """The number asked for, or as many as there are cores for."""
        return self.asked or max(1, self.cores // self.threads)


class Engine(Protocol):
    """Runs tasks in processes of their own, each when those that it needs have ended well."""

    def __call__(
        self, tasks: Sequence[Task], extent: Extent, on_done: Callable[[int], None]
    ) -> dict[str, str]:
        """Run them all, but for those that need one that fails.

        Args:
            tasks: in an order in which they can be done.
            extent: how much at once.
            on_done: called now and then with the number of tasks that have ended.

        Returns:
            Why tasks failed, by name.

        Raises:
            KeyboardInterrupt: on Ctrl-C, when what runs was told to end.
        """
