"""Restoration tasks: how an input is made from an image, and by which protocols it is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from baselines.imresize import imresize
from benchmarks.quality.datasets import Dataset, Image, Item
from benchmarks.quality.protocols import Protocol, get_protocol

Degradation = Literal["shipped", "imresize"]


@dataclass(frozen=True)
class Pair:
    """Input [h, w(, 3)] and target [h * scale, w * scale(, 3)] of one image, both uint8."""

    input: Image
    target: Image


@dataclass(frozen=True)
class Task:
    """One super-resolution task.

    Attributes:
        name: Registry name.
        scale: Output size over input size.
        degrade: Makes the input from a target whose sides are multiples of `scale`.
        protocols: Names of the protocols that apply; the first is the default.
    """

    name: str
    scale: int
    degrade: Callable[[Image], Image]
    protocols: tuple[str, ...]

    @property
    def default_protocol(self) -> Protocol:
        """The protocol used when none is named."""
        return get_protocol(self.protocols[0])

    def degradation(self, dataset: Dataset) -> Degradation:
        """Where the inputs of a set come from: its own files, or our resize where it has none."""
        return "shipped" if dataset.ships_low_resolution(self.scale) else "imresize"

    def make_pair(self, dataset: Dataset, item: Item) -> Pair:
        """Crop an image to whole multiples of the scale, and read or make its input.

        Raises:
            DatasetNotFound: The set ships inputs, but not that of this image.
            ValueError: The shipped input does not fit its target, or the image is below the scale.
            OSError: A file cannot be decoded.
        """
        target = crop_to_multiple(item.image, self.scale)
        if self.degradation(dataset) == "imresize":
            return Pair(self.degrade(target), target)
        shipped = dataset.read_low_resolution(item.name, self.scale)
        height, width = target.shape[:2]
        expected = (height // self.scale, width // self.scale, *target.shape[2:])
        if shipped.shape != expected:
            raise ValueError(
                f"the shipped input of {item.name} has shape {shipped.shape}; "
                f"{expected} expected at x{self.scale}"
            )
        return Pair(shipped, target)


def crop_to_multiple(image: Image, multiple: int) -> Image:
    """Drop rows at the bottom and columns at the right until both counts divide by `multiple`.

    Raises:
        ValueError: Nothing would be left.
    """
    height, width = image.shape[:2]
    if min(height, width) < multiple:
        raise ValueError(f"image of {height}x{width} pixels is smaller than {multiple}x{multiple}")
    return image[: height - height % multiple, : width - width % multiple]


def _super_resolution(scale: int) -> Task:
    def degrade(target: Image) -> Image:
        return imresize(target, Fraction(1, scale))

    return Task(f"sr-x{scale}", scale, degrade, protocols=("sr-y601-crop-scale",))


TASKS: dict[str, Task] = {task.name: task for task in map(_super_resolution, (2, 3, 4))}


def list_tasks() -> list[str]:
    """Names of the tasks, sorted."""
    return sorted(TASKS)


def get_task(name: str) -> Task:
    """Look a task up by name.

    Raises:
        ValueError: Unknown name.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; valid names: {', '.join(list_tasks())}")
    return TASKS[name]
