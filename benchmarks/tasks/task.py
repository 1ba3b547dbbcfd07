"""Restoration tasks: how an input is made from an image, and by which protocols it is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.data.datasets import Dataset, Item
from benchmarks.data.images import Image
from benchmarks.tasks.colors import COLORS, to_rgb
from benchmarks.tasks.degradations import (
    Degradation,
    Input,
    bicubic_degradation,
    jpeg_degradation,
    mosaic_degradation,
    noise_degradation,
)
from benchmarks.tasks.protocols import Protocol, get_protocol
from benchmarks.tasks.sizing import SIZINGS, crop_to_multiple
from benchmarks.tasks.synthesis import add_rain, add_raindrops, add_snow, shake_camera

_PERCEPTUAL = "rgb-lpips"


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
        name: Registry name.
        channels: 3 for RGB (gray files are repeated), 1 for gray.
        degradations: How inputs are made, by the name under which a protocol asks for one; the
            first serves the protocols that ask for none.
        protocols: Names of the protocols that apply; the first is the default.
        conditions: What a network may need to know of the inputs: the `scale` (output size over
            input size) and, of denoising, `sigma` (0..255), of JPEG, `quality`.
        luma: Of gray tasks, the key of `COLORS` that makes color files gray.
        reference: The model without training that a trained network has to beat.
    """

    name: str
    channels: int
    degradations: Mapping[str, Degradation]
    protocols: tuple[str, ...]
    conditions: Mapping[str, int]
    luma: str = ""
    reference: str = "identity"

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return self.conditions["scale"]

    @property
    def default_protocol(self) -> Protocol:
        """The protocol used when none is named."""
        return get_protocol(self.protocols[0])

    def degradation(self, dataset: Dataset, protocol: Protocol | None = None) -> str:
        """Where the inputs of a set come from: "shipped" with it, or how they are made."""
        return "shipped" if self._is_shipped(dataset) else str(self._degradation(protocol))

    def make_pair(self, dataset: Dataset, item: Item, protocol: Protocol | None = None) -> Pair:
        """Bring an image to the task's channels and sizes, and read or make its input.

        Args:
            dataset: The set of the image.
            item: The image.
            protocol: Says how sizes are adapted and which degradation is meant; the task's default
                if None.

        Raises:
            DatasetNotFound: The set ships inputs, but not that of this image.
            ValueError: The shipped input does not fit its target, or the image is below the scale.
            OSError: A file cannot be decoded.
        """
        protocol = protocol or self.default_protocol
        resize = SIZINGS[protocol.sizing]
        if dataset.pairs == self.name:
            degraded, clean = map(self._convert, dataset.read_pair(item.name))
            return Pair(resize(degraded), resize(clean))
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
            protocol: As for `make_pair`.

        Raises:
            ValueError: The image is below the scale.
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


def _super_resolution(scale: int) -> Task:
    return Task(
        f"sr-x{scale}",
        channels=3,
        degradations={"imresize": bicubic_degradation(scale)},
        protocols=(
            "sr-y601-crop-scale",
            "sr-y601-crop-scale-ssim-same-zero",
            "sr-rgb-crop-scale",
            _PERCEPTUAL,
        ),
        conditions={"scale": scale},
        reference="bicubic",
    )


def _gray_denoising(sigma: int) -> Task:
    # SwinIR's script reads color files by OpenCV's IMREAD_GRAYSCALE, which is full-range luma.
    return Task(
        f"denoise-gray-s{sigma}",
        channels=1,
        degradations={rule: noise_degradation(sigma, rule) for rule in ("swinir", "grl")},
        protocols=("denoise-gray-swinir", "denoise-gray-grl", _PERCEPTUAL),
        conditions={"scale": 1, "sigma": sigma},
        luma="y-full",
    )


def _color_denoising(sigma: int) -> Task:
    return Task(
        f"denoise-color-s{sigma}",
        channels=3,
        degradations={
            rule: noise_degradation(sigma, rule) for rule in ("swinir", "restormer", "grl")
        },
        protocols=(
            "denoise-color-swinir",
            "denoise-color-restormer",
            "denoise-color-grl",
            _PERCEPTUAL,
        ),
        conditions={"scale": 1, "sigma": sigma},
    )


def _jpeg(kind: str, quality: int) -> Task:
    return Task(
        f"jpeg-{kind}-q{quality}",
        channels=1 if kind == "gray" else 3,
        degradations={"jpeg": jpeg_degradation(quality)},
        protocols=(f"jpeg-{kind}", f"jpeg-{kind}-ssim-same-zero", _PERCEPTUAL),
        conditions={"scale": 1, "quality": quality},
        luma="y601-studio-uint8" if kind == "gray" else "",
    )


def _weather(kind: str, degradation: Degradation) -> Task:
    return Task(
        f"weather-{kind}",
        channels=3,
        degradations={kind: degradation},
        protocols=("native", "transweather-resize16", _PERCEPTUAL),
        conditions={"scale": 1},
    )


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        *map(_super_resolution, (2, 3, 4)),
        *map(_gray_denoising, (15, 25, 50)),
        *map(_color_denoising, (15, 25, 50)),
        *(_jpeg(kind, quality) for kind in ("gray", "color") for quality in (10, 20, 30, 40)),
        Task(
            "demosaic",
            channels=3,
            degradations={"bayer": mosaic_degradation()},
            protocols=("demosaic-border0", "demosaic-border10", _PERCEPTUAL),
            conditions={"scale": 1},
            reference="malvar",
        ),
        Task(
            "deblur",
            channels=3,
            degradations={"shake": Degradation("synthetic-shake", 1, shake_camera)},
            protocols=("deblur-rgb", "deblur-rgb-ssim-3d", _PERCEPTUAL),
            conditions={"scale": 1},
        ),
        _weather("rain", Degradation("synthetic-rain", 1, add_rain)),
        _weather("snow", Degradation("synthetic-snow", 1, add_snow)),
        _weather("raindrop", Degradation("synthetic-raindrop", 1, add_raindrops)),
    )
}


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
