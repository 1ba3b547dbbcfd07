"""Restored images on disk, and one picture of the worst, the median and the best of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw

from benchmarks.data.datasets import Dataset
from benchmarks.data.images import Image, read_image
from benchmarks.quality.evaluation import Evaluation, Score
from benchmarks.tasks.colors import to_rgb
from benchmarks.tasks.metrics import PEAK
from benchmarks.tasks.protocols import Protocol, quantize
from benchmarks.tasks.task import Input, Task
from kgt.files import make_folder
from kgt.pictures import Picture

COMPARISON = "comparison.png"
# Larger panels are shrunk, so that the picture stays one that can be opened.
_LONGEST = 1024
_LABEL, _GAP = 18, 6


def save_restored(folder: Path, name: str, prediction: npt.NDArray[np.floating[Any]]) -> None:
    """Write a restored image [H, W, C] in [0, 1] as `NAME.png`, rounded as the metrics see it.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    make_folder(folder)
    Picture(np.atleast_3d(quantize(prediction))).save(folder / f"{name}.png")


def save_comparison(
    folder: Path, evaluation: Evaluation, task: Task, dataset: Dataset, protocol: Protocol
) -> Path:
    """Draw input, restored image and target of the worst, the median and the best image.

    Args:
        folder: where the restored images lie; the picture is put beside them.
        evaluation: of those images; its first column decides.
        task: its task.
        dataset: its images.
        protocol: its protocol.

    Returns:
        The picture's path.

    Raises:
        ValueError: no image was scored.
    """
    rows = []
    items = {item.name: item for item in dataset}
    for rank, name in choose_examples(evaluation):
        pair = task.make_pair(dataset, items[name], protocol)
        scores = "  ".join(
            f"{column} {_format(value)}" for column, value in evaluation.per_image[name].items()
        )
        panels = [
            (f"{rank}: {name}, input", _enlarge(_to_pixels(pair.input), task.scale)),
            (f"{evaluation.contender}: {scores}", read_image(folder / f"{name}.png")),
            ("target", pair.target),
        ]
        rows.append(_draw_row(panels))
    picture = PIL.Image.new(
        "RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white"
    )
    top = 0
    for row in rows:
        picture.paste(row, (0, top))
        top += row.height
    path = folder / COMPARISON
    Picture.from_pil(picture).save(path)
    return path


def choose_examples(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Ranks and names of the worst, the median and the best image by the first column.

    Of one or two images, fewer are named, so that none is shown twice.

    Raises:
        ValueError: no image was scored.
    """
    if not evaluation.per_image:
        raise ValueError("no image was scored, so there is nothing to show")
    column = next(iter(evaluation.metrics))
    ordered = sorted(
        evaluation.per_image,
        key=lambda name: (
            (value := evaluation.per_image[name][column]) == "exact",
            value if value != "exact" else 0.0,
        ),
    )
    chosen = {"worst": ordered[0], "best": ordered[-1], "median": ordered[(len(ordered) - 1) // 2]}
    ranks: dict[str, str] = {}
    for rank in ("worst", "median", "best"):
        if chosen[rank] not in ranks.values():
            ranks[rank] = chosen[rank]
    return list(ranks.items())


def _format(value: Score) -> str:
    return value if isinstance(value, str) else f"{value:.4f}"


def _to_pixels(image: Input) -> Image:
    values = image / np.float32(PEAK) if image.dtype == np.uint8 else image
    return quantize(values.astype(np.float32))


def _enlarge(image: Image, scale: int) -> Image:
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def _draw_row(panels: list[tuple[str, Image]]) -> PIL.Image.Image:
    drawn = []
    for label, pixels in panels:
        picture = PIL.Image.fromarray(np.ascontiguousarray(to_rgb(pixels)))
        picture.thumbnail((_LONGEST, _LONGEST))
        width = max(picture.width, int(PIL.ImageDraw.Draw(picture).textlength(label)))
        panel = PIL.Image.new("RGB", (width + _GAP, picture.height + _LABEL + _GAP), "white")
        PIL.ImageDraw.Draw(panel).text((0, 2), label, fill="black")
        panel.paste(picture, (0, _LABEL))
        drawn.append(panel)
    row = PIL.Image.new(
        "RGB", (sum(panel.width for panel in drawn), max(panel.height for panel in drawn)), "white"
    )
    left = 0
    for panel in drawn:
        row.paste(panel, (left, 0))
        left += panel.width
    return row
