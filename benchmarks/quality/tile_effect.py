"""What tiles change against whole images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.data.datasets import Dataset, Item
from benchmarks.quality.evaluation import as_batch, evaluation_mode, restore_image
from benchmarks.quality.tiling import Tiling
from benchmarks.tasks.protocols import Protocol, quantize
from benchmarks.tasks.task import Task
from kgt.contract import Restorer


@dataclass(frozen=True)
class TileEffect:
    """One image restored whole and in tiles.

    Attributes:
        tile: side of the tiles in pixels of the input, None where the image needed none.
        max_steps: largest difference of the two results in 8-bit steps.
        psnr_whole, psnr_tiled: dB.
    """

    tile: int | None
    max_steps: int
    psnr_whole: float
    psnr_tiled: float

    @property
    def gain(self) -> float:
        """PSNR in tiles minus whole, dB."""
        same = self.psnr_tiled == self.psnr_whole  # infinite ones, too
        return 0.0 if same else self.psnr_tiled - self.psnr_whole


def compare_tiling(
    model: Restorer,
    task: Task,
    dataset: Dataset,
    tiling: Tiling,
    protocol: Protocol | None = None,
    progress: Callable[[Iterable[Item]], Iterable[Item]] = iter,
) -> dict[str, TileEffect]:
    """Restore every image of a set whole and in tiles; effects by image name.

    The arguments are those of `benchmarks.quality.evaluate`; but what an image raises, such as the
    ValueError of a tile that does not fit, ends the comparison.
    """
    protocol = protocol or task.default_protocol
    effects = {}
    with evaluation_mode(model), torch.inference_mode():
        for item in progress(dataset):
            pair = task.make_pair(dataset, item, protocol)
            batch = as_batch(model, pair.input)
            side = tiling.choose(model, batch)
            fits = side is not None and max(batch.shape[-2:]) <= side
            tiles = Tiling(side, tiling.overlap)
            whole, tiled = (restore_image(model, pair.input, rule) for rule in (Tiling(), tiles))
            steps = np.abs(quantize(whole).astype(int) - quantize(tiled)).max()
            scores = [
                protocol.score(image, pair.target, task.scale)["psnr"] for image in (whole, tiled)
            ]
            effects[item.name] = TileEffect(None if fits else side, int(steps), *scores)
    return effects
