"""Training patches, as a function of the recipe's seed and the step alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmarks.quality import Pair, get_task, load_dataset
from benchmarks.quality.degradations import Input
from benchmarks.quality.images import combine_digests, digest_pixels
from benchmarks.training.recipes import Recipe


class PatchSampler:
    """Random patches of the train split that a recipe names, all images held in memory.

    Inputs are made by the task's degradation from whole images, never from patches, whose borders
    the degradation would see. Images smaller than a patch are left out.

    Attributes:
        digest: digest of the pixels of all inputs and targets in use.

    Raises:
        ValueError: Unknown task, data set or image, a data set without a train split, or no image
            that holds a patch.
        DatasetNotFound: The images of the data set are not there.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._scale = get_task(recipe.task).scale
        pairs = [pair for pair in _load_pairs(recipe) if _holds(pair.input, recipe.patch)]
        if not pairs:
            raise ValueError(
                f"recipe {recipe.name}: no image of {recipe.dataset} is as large as a patch of "
                f"{recipe.patch * self._scale} pixels; lower `patch` or name other images"
            )
        self.digest = combine_digests(
            digest_pixels(image) for pair in pairs for image in (pair.input, pair.target)
        )
        self._inputs = [_put_channels_first(pair.input) for pair in pairs]
        self._targets = [_put_channels_first(pair.target) for pair in pairs]
        pixels = np.array([image[0].size for image in self._inputs])
        self._weights = pixels / pixels.sum()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Cut the patches of a step; images are drawn in proportion to their pixels.

        Patches are flipped and transposed at random, and gray ones repeated to RGB.

        Returns:
            Inputs [B, 3, p, p] and targets [B, 3, scale * p, scale * p], float32 in [0, 1].
        """
        count, size, scale = self._recipe.batch, self._recipe.patch, self._scale
        rng = np.random.default_rng((self._recipe.seed, step))
        inputs = np.empty((count, 3, size, size), self._inputs[0].dtype)
        targets = np.empty((count, 3, size * scale, size * scale), np.uint8)
        for slot, index in enumerate(rng.choice(len(self._inputs), count, p=self._weights)):
            height, width = self._inputs[index].shape[1:]
            top, left = rng.integers((height - size + 1, width - size + 1))
            symmetry = rng.integers(2, size=3)
            inputs[slot] = _cut(self._inputs[index], top, left, size, symmetry)
            targets[slot] = _cut(
                self._targets[index], top * scale, left * scale, size * scale, symmetry
            )
        return _to_unit_range(inputs), _to_unit_range(targets)


def _load_pairs(recipe: Recipe) -> list[Pair]:
    task = get_task(recipe.task)
    dataset = load_dataset(recipe.dataset, split="train")
    unknown = sorted(set(recipe.images) - set(dataset.paths))
    if unknown:
        raise ValueError(
            f"recipe {recipe.name}: no image {', '.join(unknown)} in the train split of "
            f"{recipe.dataset}; valid names: {', '.join(dataset.paths)}"
        )
    chosen = recipe.images or dataset.paths
    return [task.make_pair(dataset, item) for item in dataset if item.name in chosen]


def _holds(image: Input, size: int) -> bool:
    return min(image.shape[:2]) >= size


def _put_channels_first(image: Input) -> Input:
    """[H, W] or [H, W, C] to a contiguous [C, H, W]."""
    return np.ascontiguousarray(np.moveaxis(np.atleast_3d(image), -1, 0))


def _cut(image: Input, top: int, left: int, size: int, symmetry: npt.NDArray[np.int64]) -> Input:
    """One of the eight symmetries of a square patch, a view [C, size, size]."""
    flip_rows, flip_columns, transpose = symmetry
    patch = image[:, top : top + size, left : left + size]
    if flip_rows:
        patch = patch[:, ::-1]
    if flip_columns:
        patch = patch[:, :, ::-1]
    return patch.swapaxes(1, 2) if transpose else patch


def _to_unit_range(pixels: Input) -> Tensor:
    values = torch.from_numpy(pixels)
    return values.float().div_(255) if values.dtype == torch.uint8 else values
