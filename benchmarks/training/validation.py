"""Validation on held-out images, shared by all processes of a training."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean

import torch.distributed

from benchmarks.data.datasets import Dataset
from benchmarks.quality import evaluate
from benchmarks.tasks import get_task
from benchmarks.training.recipes import Recipe
from kgt.contract import Restorer


def measure_psnr(
    model: Restorer, recipe: Recipe, images: list[Dataset], rank: int = 0, world: int = 1
) -> dict[str, float]:
    """Mean PSNR in dB of the held-out images by task, under each task's default protocol.

    Every process restores its share of the images; each image counts once, however many there are.

    Args:
        model: the network, not wrapped for gradients.
        recipe: names the tasks.
        images: as from `split_images`; of a set that ships inputs they serve its task alone.
        rank: this process.
        world: number of processes; all must call.

    Raises:
        ImageFailed: an image could not be restored.
    """
    scores: dict[str, dict[str, float]] = {name: {} for name in recipe.tasks}
    for dataset in images:
        # Two folders of one's own may share a name.
        where = dataset.folder if dataset.split == "own" else dataset.name
        names = list(dataset.paths)[rank::world]
        share = replace(dataset, paths={name: dataset.paths[name] for name in names})
        for task in recipe.tasks:
            if dataset.pairs in ("", task):
                found = evaluate(model, get_task(task), share, strict=True).per_image
                for image, row in found.items():
                    psnr = math.inf if row["psnr"] == "exact" else float(row["psnr"])
                    scores[task][f"{where}/{image}"] = psnr
    if world > 1:
        gathered: list[dict[str, dict[str, float]]] = [{} for _ in range(world)]
        torch.distributed.all_gather_object(gathered, scores)
        scores = {
            name: {image: psnr for part in gathered for image, psnr in part[name].items()}
            for name in recipe.tasks
        }
    # Sorted: sums of floats depend on their order, and the order on the number of processes.
    return {task: fmean(row[image] for image in sorted(row)) for task, row in scores.items() if row}
