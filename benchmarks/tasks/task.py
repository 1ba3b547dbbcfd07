"""What a restoration task is: how its inputs are made, and by which protocols they are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.data.datasets import Dataset, Item
from benchmarks.data.images import Image
from benchmarks.tasks.colors import COLORS, to_rgb
from benchmarks.tasks.protocols import Protocol
from benchmarks.tasks.sizing import SIZINGS, crop_to_multiple

# A network's input: uint8 in 0..255, or float32 on the scale of [0, 1] but not clipped to it.
Input = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
Generator = np.random.Generator


@dataclass(frozen=True)
class Degradation:
    """How inputs are made.

    Change what it computes, and the version must go up.

    Attributes:
        name: what records call it.
        version: counts the changes of its rule.
        apply: makes the input from a target, uint8 [H, W, 3] or [H, W], and the image's name.
        codec: library that does the work, where its version could change the pixels.
    """

    name: str
    version: int
    apply: Callable[[Image, str], Input]
    codec: Callable[[], str] | None = None

    def __str__(self) -> str:
        label = f"{self.name}@{self.version}"
        return f"{label} ({self.codec()})" if self.codec else label


@dataclass(frozen=True)
class PatchRule:
    """How the input of a training patch is made anew from the patch and what lies around it.

    Attributes:
        degrade: makes the input, of the same size, of a patch with its margin [p, p, C] uint8,
            drawing from the generator; further arguments are the smaller side of the image and the
            level.
        margin: pixels on each side of a patch that its input depends on, of an image whose smaller
            side is given.
    """

    degrade: Callable[[Image, Generator, int, float], Input]
    margin: Callable[[int], int] = lambda side: 0


@dataclass(frozen=True)
class Level:
    """How strongly a task degrades.

    Attributes:
        quantity: "scale" (output size over input size), "sigma" of noise (0..255) or "quality" of
            JPEG: the field of networks that must know it.
        letter: stands before the value in names.
        value: its number.
    """

    quantity: str
    letter: str
    value: int

    def __str__(self) -> str:
        return f"{self.letter}{self.value}"


@dataclass(frozen=True)
class Pair:
    """Input and target of one image.

    Attributes:
        input: [h, w, 3] or [h, w]; uint8, or float32 on the scale of [0, 1] that may exceed it.
        target: uint8 [h * scale, w * scale, 3] or [h * scale, w * scale].
    """

    input: Input
    target: Image


@dataclass(frozen=True)
class Task:
    """One restoration task.

    Attributes:
        family: name that it shares with tasks of another level or kind.
        channels: 3 for RGB (gray files are repeated), 1 for gray.
        degradations: how inputs are made, by the name under which a protocol asks for one; the
            first serves the protocols that ask for none.
        protocols: those that apply; the first is the default.
        test_sets: what shipped networks are scored on.
        level: how strong the degradation is, where that has a number.
        kind: the name of the degradation where a family has several without a level.
        luma: of gray tasks, the key of `COLORS` that makes color files gray.
        reference: the model without training that a trained network has to beat.
        patches: how training patches are degraded; None where inputs are made of whole images.
    """

    family: str
    channels: int
    degradations: Mapping[str, Degradation]
    protocols: tuple[Protocol, ...]
    test_sets: tuple[str, ...]
    level: Level | None = None
    kind: str = ""
    luma: str = ""
    reference: str = "identity"
    patches: PatchRule | None = None

    @property
    def variant(self) -> str:
        """Its level or kind, such as x4, s25 or rain; the family where it is alone in it."""
        return str(self.level) if self.level else self.kind or self.family

    @property
    def name(self) -> str:
        """Family and variant, such as sr-x4; the family where the task is alone in it."""
        return self.family if self.variant == self.family else f"{self.family}-{self.variant}"

    @property
    def conditions(self) -> dict[str, int]:
        """What a network may need to know of the inputs: `scale`, and the level by its quantity."""
        level = {self.level.quantity: self.level.value} if self.level else {}
        return {"scale": 1, **level}

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return self.conditions["scale"]

    @property
    def default_protocol(self) -> Protocol:
        """The protocol used when none is named."""
        return self.protocols[0]

    def degradation(self, dataset: Dataset, protocol: Protocol | None = None) -> str:
        """Where the inputs of a set come from: "shipped" with it, or how they are made."""
        return "shipped" if self._is_shipped(dataset) else str(self._degradation(protocol))

    def make_pair(self, dataset: Dataset, item: Item, protocol: Protocol | None = None) -> Pair:
        """Bring an image to the task's channels and sizes, and read or make its input.

        Args:
            dataset: the set of the image.
            item: the image.
            protocol: says how sizes are adapted and which degradation is meant; the task's default
                if None.

        Raises:
            DatasetNotFound: the set ships inputs, but not that of this image.
            ValueError: the shipped input does not fit its target, or the image is below the scale.
            OSError: a file cannot be decoded.
        """
        protocol = protocol or self.default_protocol
        resize = SIZINGS[protocol.sizing]
        if dataset.pairs == self.name:
            degraded, clean = map(self._convert, dataset.read_pair(item.name, self.scale))
            return Pair(resize(degraded), crop_to_multiple(resize(clean), self.scale))
        target = self.make_target(item.image, protocol)
        if not self._is_shipped(dataset):
            return Pair(self._degradation(protocol).apply(target, item.name), target)
        shipped = self._convert(dataset.read_low_resolution(item.name, self.scale))
        height, width = target.shape[:2]
        expected = (height // self.scale, width // self.scale, *target.shape[2:])
        if shipped.shape != expected:
            raise ValueError(
                f"the shipped input of {item.name} has shape {shipped.shape}; "
                f"{expected} expected at x{self.scale}"
            )
        return Pair(shipped, target)

    def make_target(self, image: Image, protocol: Protocol | None = None) -> Image:
        """Bring an image to the task's channels, and to sizes that a protocol and the scale take.

        Args:
            image: uint8 [H, W, 3] or [H, W].
            protocol: as for `make_pair`.

        Raises:
            ValueError: the image is below the scale.
        """
        resize = SIZINGS[(protocol or self.default_protocol).sizing]
        return crop_to_multiple(resize(self._convert(image)), self.scale)

    def _is_shipped(self, dataset: Dataset) -> bool:
        if dataset.pairs == self.name:
            return True
        return self.scale > 1 and dataset.ships_low_resolution(self.scale)

    def _degradation(self, protocol: Protocol | None) -> Degradation:
        wanted = (protocol or self.default_protocol).degradation
        return self.degradations[wanted] if wanted else next(iter(self.degradations.values()))

    def _convert(self, image: Image) -> Image:
        if self.channels == 3:
            return to_rgb(image)
        return image if image.ndim == 2 else COLORS[self.luma](image)
