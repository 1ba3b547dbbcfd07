"""What the tests of training train: a few steps on one embedded image."""

from dataclasses import replace

from benchmarks.tasks import TASKS
from benchmarks.tasks.task import Degradation
from benchmarks.training.loop import Listener
from benchmarks.training.recipes import Recipe

FIELDS = {
    "name": "mini",
    "version": 1,
    "tasks": ["sr-x2"],
    "datasets": ["embedded"],
    "images": ["coins"],
    "steps": 13,
    "batch": 1,
    "patch": 16,
    "lr": 1e-3,
    "warmup": 0.2,
    "clip_grad_norm": 1.0,
    "checkpoint_every_s": 0,
}
MINI = Recipe(**FIELDS)

# sr-x2 whose inputs keep every second pixel.
DECIMATED = replace(
    TASKS["sr-x2"],
    degradations={"": Degradation("decimation", 1, lambda target, name: target[::2, ::2])},
)


def change(**fields):
    return Recipe(**{**FIELDS, **fields})


class Stop(Exception):  # noqa: N818
    """What the tests interrupt a training with."""


def stop_at(last):
    """A listener that interrupts a training after a step."""

    def on_step(step, loss):
        if step == last:
            raise Stop

    return Listener(on_step)
