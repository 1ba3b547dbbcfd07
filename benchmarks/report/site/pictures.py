"""Restored pictures: cuts of the embedded photographs through the networks that ship.

They depend on weights and photographs alone, and are made anew in every build.
"""

from __future__ import annotations

import io
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image

from baselines.catalog import find_shipped
from benchmarks.data.datasets import Dataset, load_dataset, load_folder
from benchmarks.data.images import Image
from benchmarks.models import create_for_task
from benchmarks.quality.evaluation import evaluation_mode, restore_image
from benchmarks.tasks import TASKS, get_task
from benchmarks.tasks.colors import to_rgb
from benchmarks.tasks.denoising import add_noise
from benchmarks.tasks.jpeg import compress_jpeg
from benchmarks.tasks.protocols import quantize
from benchmarks.tasks.task import Degradation, Input, Level, Task
from kgt.tasks import PURPOSES

SIDE = 192
# Photographs in color, each with the place of the cut as shares of height and width.
_CUTS = {"astronaut": (0.12, 0.3), "chelsea": (0.2, 0.3), "coffee": (0.25, 0.3)}
PANELS = ("input", "ours", "rival", "target")


@dataclass(frozen=True)
class Restored:
    """A cut of a photograph as four pictures of the same size.

    Attributes:
        task: name of the task.
        image: name of the photograph.
        models: ours and the rival, by their names; the rival's is empty where none ships.
        pictures: PNG files by panel.
        psnr: of ours and the rival's result, dB.
    """

    task: str
    image: str
    models: tuple[str, str]
    pictures: dict[str, bytes]
    psnr: dict[str, float]

    @property
    def difference(self) -> float:
        """PSNR of ours less the rival's, dB; 0 where there is no rival."""
        return self.psnr["ours"] - self.psnr.get("rival", self.psnr["ours"])


def restore_all() -> Iterator[Restored]:
    """All tasks that networks ship for, and levels beyond their training.

    The photographs of a task come in the order of our difference to the rival, worst first.
    """
    with tempfile.TemporaryDirectory() as folder:
        dataset = _cut_photographs(Path(folder))
        for task in [*_list_tasks(), *_list_beyond()]:
            yield from sorted(_restore(task, dataset), key=lambda r: (r.difference, r.image))


def _list_tasks() -> list[Task]:
    """The tasks that networks ship for; of a family of levels the first and the last one."""
    families: dict[str, list[Task]] = defaultdict(list)
    for task in TASKS.values():
        if _purpose_of(task) in PURPOSES:
            families[task.family].append(task)
    return [
        task
        for tasks in families.values()
        for task in tasks
        if task.level is None or task in (tasks[0], tasks[-1])
    ]


def _list_beyond() -> list[Task]:
    """Stronger degradations than any that the networks saw."""
    noise = Degradation("noise-swinir", 1, partial(add_noise, sigma=75, rule="swinir"))
    jpeg = Degradation("jpeg-cv2", 1, partial(compress_jpeg, quality=5))
    return [
        replace(
            get_task("denoise-color-s50"),
            level=Level("sigma", "s", 75),
            degradations={"swinir": noise},
        ),
        replace(
            get_task("jpeg-color-q10"),
            level=Level("quality", "q", 5),
            degradations={"jpeg": jpeg},
        ),
    ]


def _purpose_of(task: Task) -> str:
    return task.name if task.name in PURPOSES else task.family


def is_beyond(name: str) -> bool:
    """Whether a task is none of those that are scored."""
    return name not in TASKS


def choose_models(task: Task) -> tuple[str, str]:
    """Our network that ships for a task, and the one of SwinIR, empty where there is none."""
    suffix = PURPOSES[_purpose_of(task)].suffix
    found = []
    for family in ("kgt", "swinir"):
        names = (f"deconvolved-{family}-tiny-{suffix}", f"{family}-tiny-{suffix}")
        found.append(next((name for name in names if find_shipped(name)), ""))
    return found[0], found[1]


def _cut_photographs(folder: Path) -> Dataset:
    for item in load_dataset("embedded"):
        if item.name in _CUTS:
            height, width = item.image.shape[:2]
            top, left = (
                min(int(share * size), size - SIDE)
                for share, size in zip(_CUTS[item.name], (height, width), strict=True)
            )
            cut = item.image[top : top + SIDE, left : left + SIDE]
            PIL.Image.fromarray(cut).save(folder / f"{item.name}.png")
    return load_folder(folder)


def _restore(task: Task, dataset: Dataset) -> Iterator[Restored]:
    models = choose_models(task)
    protocol = task.default_protocol
    networks = {
        panel: create_for_task(model, task.conditions, pretrained=True)
        for panel, model in zip(("ours", "rival"), models, strict=True)
        if model
    }
    for item in dataset:
        pair = task.make_pair(dataset, item, protocol)
        pictures = {"input": _encode(_enlarge(_to_pixels(pair.input), task.scale))}
        psnr = {}
        for panel, network in networks.items():
            with evaluation_mode(network):
                prediction = restore_image(network, pair.input)
            pictures[panel] = _encode(quantize(prediction))
            psnr[panel] = protocol.score(prediction, pair.target, task.scale)["psnr"]
        pictures["target"] = _encode(pair.target)
        yield Restored(task.name, item.name, models, pictures, psnr)


def _to_pixels(image: Input) -> Image:
    values = image / np.float32(255) if image.dtype == np.uint8 else image
    return quantize(values.astype(np.float32))


def _enlarge(image: Image, scale: int) -> Image:
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def _encode(image: Image) -> bytes:
    stream = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(to_rgb(image))).save(stream, "PNG", optimize=True)
    return stream.getvalue()
