"""Run a model over a data set under a protocol."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.data.datasets import Dataset, Item
from benchmarks.data.images import combine_digests, digest_pixels
from benchmarks.quality.tiling import WHOLE, Tiling
from benchmarks.tasks.protocols import Protocol
from benchmarks.tasks.task import Input, Task
from kgt.contract import Restorer
from kgt.errors import Failure

Score = float | Literal["exact"]


class ImageFailed(Failure):
    """An image could not be read, restored or scored, and none may be left out."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one set, as plain data.

    Attributes:
        task: task name.
        dataset: data set name, with a digest of its files for a folder of one's own.
        model: model name.
        protocol: protocol as name@version.
        tiling: tile rule: "whole", or as in "tile 256 overlap 32".
        degradation: where the inputs came from: "shipped", or the name and version of a rule.
        images: number of images scored.
        coverage: images present out of those published, as in "25 of 100".
        metrics: mean over the images per column, without those that are unavailable; None where no
            image has a finite value.
        unavailable: reason by column that cannot be computed on this machine.
        per_image: values by image and column; "exact" stands for the PSNR of identical images.
        exact: number of identical images; their PSNR is in no mean.
        failed: reason by image that could not be scored.
        data_digest: SHA-256 over the inputs and targets of the scored images.
        weights: file of the model's weights, None for those that ship or are published.
    """

    task: str
    dataset: str
    model: str
    protocol: str
    tiling: str
    degradation: str
    images: int
    coverage: str
    metrics: dict[str, float | None]
    unavailable: dict[str, str]
    per_image: dict[str, dict[str, Score]]
    exact: int
    failed: dict[str, str]
    data_digest: str
    weights: str | None = None

    @property
    def contender(self) -> str:
        """The model, and the file of its weights where it is another than the model's name."""
        if self.weights in (None, self.model):
            return self.model
        return f"{self.model} with {self.weights}"


def evaluate(
    model: Restorer,
    task: Task,
    dataset: Dataset,
    protocol: Protocol | None = None,
    progress: Callable[[Iterable[Item]], Iterable[Item]] = iter,
    *,
    name: str | None = None,
    strict: bool = False,
    tiling: Tiling = WHOLE,
    on_restored: Callable[[str, npt.NDArray[np.float32]], None] = lambda name, restored: None,
) -> Evaluation:
    """Score a model on every image of a set, on the device and in the dtype of its parameters.

    An image that cannot be read, restored or scored is listed in `failed` and does not end the set.

    Args:
        model: maps [1, C, h, w] in [0, 1] to [1, C, scale * h, scale * w]; has the attributes
            `scale` and `in_channels`. Gray images are repeated for a network of 3 channels, and
            what it makes of them is averaged.
        task: task to evaluate.
        dataset: images.
        protocol: one of the task's protocols; its default if None.
        progress: wraps the iteration over the images, such as a progress bar.
        name: model name to record; the class name if None.
        strict: raise at the first image that fails.
        tiling: how inputs are cut into tiles.
        on_restored: called with name and result [H, W, C] of every image that was scored.

    Raises:
        ImageFailed: an image failed, and `strict` is set.
        ValueError: the model's scale or channels are not the task's, or the protocol does not apply
            to the task.
    """
    protocol = protocol or task.default_protocol
    valid = [own.name for own in task.protocols]
    if protocol.name not in valid:
        raise ValueError(
            f"protocol {protocol.name} does not apply to {task.name}; valid: {', '.join(valid)}"
        )
    if model.scale != task.scale:
        raise ValueError(
            f"{task.name} needs a model of scale {task.scale}, got one of {model.scale}"
        )
    channels = model.in_channels
    if channels < task.channels:
        raise ValueError(
            f"{task.name} needs a model of {task.channels} channels, got one of {channels}"
        )

    scores: dict[str, dict[str, float]] = {}
    failed: dict[str, str] = {}
    digests: list[str] = []
    with evaluation_mode(model):
        for item in progress(dataset):
            try:
                pair = task.make_pair(dataset, item, protocol)
                prediction = restore_image(model, pair.input, tiling)
                scores[item.name] = protocol.score(prediction, pair.target, task.scale)
            except Exception as error:
                reason = _describe_failure(item, error)
                if strict:
                    raise ImageFailed(f"{item.name}: {reason}") from error
                failed[item.name] = reason
            else:
                on_restored(item.name, prediction)
                digests += (digest_pixels(pair.input), digest_pixels(pair.target))

    unavailable = protocol.unavailable()
    return Evaluation(
        task=task.name,
        dataset=dataset.label,
        model=name or type(model).__name__,
        protocol=str(protocol),
        tiling=str(tiling),
        degradation=task.degradation(dataset, protocol),
        images=len(scores),
        coverage=dataset.coverage,
        metrics={
            column.name: _mean_of_finite(
                image[column.name] for image in scores.values() if column.name in image
            )
            for column in protocol.columns
            if column.name not in unavailable
        },
        unavailable=unavailable,
        per_image={
            image: {column: _name_exact(value) for column, value in columns.items()}
            for image, columns in scores.items()
        },
        exact=sum(math.inf in columns.values() for columns in scores.values()),
        failed=failed,
        data_digest=combine_digests(digests),
    )


@torch.inference_mode()
def restore_image(model: Restorer, image: Input, tiling: Tiling = WHOLE) -> npt.NDArray[np.float32]:
    """Run a model on one image.

    Args:
        model: as for `evaluate`.
        image: [h, w, 3] or [h, w]: uint8, or float32 on the scale of [0, 1].
        tiling: how the image is cut into tiles.

    Returns:
        float32 [scale * h, scale * w, C].
    """
    restored = tiling.restore(model, as_batch(model, image))
    return restored[0].permute(1, 2, 0).float().cpu().numpy()


def as_batch(model: Restorer, image: Input) -> Tensor:
    """An image as `restore_image` takes it, [1, C, h, w] on the device and dtype of a model."""
    x = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image))).permute(2, 0, 1)[None]
    channels = model.in_channels
    if x.shape[1] == 1:
        x = x.expand(-1, channels, -1, -1)
    like = next(model.parameters(), torch.empty(0))
    return x.to(like) / 255 if image.dtype == np.uint8 else x.to(like)


@contextmanager
def evaluation_mode(model: Restorer) -> Iterator[None]:
    """Put a model into evaluation mode, and back into its own in the end."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _describe_failure(item: Item, error: Exception) -> str:
    """What went wrong, with the file's name where the error does not know it."""
    reason = f"{type(error).__name__}: {error}"
    return reason if str(item.path) in reason else f"{item.path}: {reason}"


def _mean_of_finite(values: Iterable[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else None


def _name_exact(value: float) -> Score:
    return "exact" if value == math.inf else value
