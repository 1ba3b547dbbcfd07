"""Restored pictures: cuts of the embedded photographs through the networks that ship.

They depend on weights and photographs alone, and are made anew in every build.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image

from baselines.catalog import create_any_model, find_shipped
from benchmarks.data.datasets import Dataset, load_dataset, load_folder
from benchmarks.data.images import Image
from benchmarks.models import create_for_task
from benchmarks.quality.evaluation import evaluation_mode, restore_image
from benchmarks.tasks import get_task
from benchmarks.tasks.colors import to_rgb
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
        beyond: whether no training of ours saw such a degradation.
    """

    task: str
    image: str
    models: tuple[str, str]
    pictures: dict[str, bytes]
    psnr: dict[str, float]
    beyond: bool

    @property
    def difference(self) -> float:
        """PSNR of ours less the rival's, dB; 0 where there is no rival."""
        return self.psnr["ours"] - self.psnr.get("rival", self.psnr["ours"])


def restore_all() -> list[Restored]:
    """All tasks that networks ship for, and levels beyond their training.

    The photographs of a task come in the order of our difference to the rival, worst first.
    """
    found: list[Restored] = []
    with tempfile.TemporaryDirectory() as folder:
        dataset = _cut_photographs(Path(folder))
        for tasks, beyond in ((_list_tasks(), False), (_list_beyond(), True)):
            for task in tasks:
                restored = _restore(task, dataset, beyond)
                found += sorted(restored, key=lambda r: (r.difference, r.image))
    return found


def _list_tasks() -> list[Task]:
    """The tasks that our networks were trained for; of a family of levels the first and the last.

    Without weights of ours there is nothing to look at.
    """
    chosen = []
    for purpose in PURPOSES:
        if ours := _choose_model("kgt", purpose):
            trained = create_any_model(ours, pretrained=True).provenance["tasks"].split()
            tasks = [get_task(name) for name in trained]
            ends = (tasks[0], tasks[-1])
            chosen += [task for task in tasks if task.level is None or task in ends]
    return chosen


def _list_beyond() -> list[Task]:
    """Stronger degradations than any that the networks saw."""
    jpeg = Degradation("jpeg-cv2", 1, partial(compress_jpeg, quality=5))
    tasks = (
        get_task("denoise-color-s75"),
        replace(
            get_task("jpeg-color-q10"),
            level=Level("quality", "q", 5),
            degradations={"jpeg": jpeg},
        ),
    )
    return [task for task in tasks if _choose_model("kgt", _purpose_of(task))]


def _purpose_of(task: Task) -> str:
    return task.name if task.name in PURPOSES else task.family


def _choose_model(family: str, purpose: str) -> str:
    """The network of a family that ships for a purpose, empty where there is none."""
    suffix = PURPOSES[purpose].suffix
    names = (f"deconvolved-{family}-tiny-{suffix}", f"{family}-tiny-{suffix}")
    return next((name for name in names if find_shipped(name)), "")


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


def _restore(task: Task, dataset: Dataset, beyond: bool) -> Iterator[Restored]:
    purpose = _purpose_of(task)
    models = _choose_model("kgt", purpose), _choose_model("swinir", purpose)
    protocol = task.default_protocol
    networks = {
        panel: create_for_task(model, task.conditions, pretrained=True)
        for panel, model in zip(("ours", "rival"), models, strict=True)
        if model
    }
    for item in dataset:
        pair = task.make_pair(dataset, item, protocol)
        pictures = {"input": encode_png(_enlarge(_to_pixels(pair.input), task.scale))}
        psnr = {}
        for panel, network in networks.items():
            with evaluation_mode(network):
                prediction = restore_image(network, pair.input)
            pictures[panel] = encode_png(quantize(prediction))
            psnr[panel] = protocol.score(prediction, pair.target, task.scale)["psnr"]
        pictures["target"] = encode_png(pair.target)
        yield Restored(task.name, item.name, models, pictures, psnr, beyond)


def _to_pixels(image: Input) -> Image:
    values = image / np.float32(255) if image.dtype == np.uint8 else image
    return quantize(values.astype(np.float32))


def _enlarge(image: Image, scale: int) -> Image:
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def encode_png(image: Image) -> bytes:
    """The PNG file of an image.

    To seek the smallest would save a fiftieth, and take twice as long.
    """
    stream = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(to_rgb(image))).save(stream, "PNG")
    return stream.getvalue()
