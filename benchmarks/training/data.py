"""Training patches, as a function of the recipe's seed and the step alone."""

from __future__ import annotations

import hashlib
import math
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from cachetools import LRUCache
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from benchmarks.data.datasets import Dataset, Item, load_dataset, load_folder
from benchmarks.data.images import combine_digests, read_size
from benchmarks.tasks import get_task
from benchmarks.tasks.task import Generator, Input, PatchRule, Task
from benchmarks.training.recipes import Recipe

_CACHE_BYTES = 2 * 2**30

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class _Source:
    """An image to cut patches from.

    Attributes:
        dataset: the set it belongs to.
        name: its stem.
        size: height and width.
        tasks: those it can be degraded for; one where the set ships inputs.
        rules: how patches are degraded for each; None where whole images are, or come with the set.
    """

    dataset: Dataset
    name: str
    size: tuple[int, int]
    tasks: tuple[Task, ...]
    rules: tuple[PatchRule | None, ...]

    def read(self) -> Item:
        return Item(self.name, self.dataset.paths[self.name])


class PatchSampler(TorchDataset[Batch]):
    """Random patches of the train splits that a recipe names; entry n is the batch of step n.

    Images are decoded when first needed and kept as far as 2 GiB reach; those too small for a patch
    and what its input depends on are left out. A patch depends on the seed, the step and its place
    in the batch, so processes that share a batch draw together what one would have drawn.

    Args:
        recipe: what to draw.
        rank: this process, of `world`; it draws every `world`-th patch of a batch.
        world: number of processes.
        prepare: what is done to whole inputs [1, C, h, w] before patches are cut (see
            `WholeImageRestorer`); each image is then degraded once and not anew for each patch.

    Attributes:
        too_small: names of the images that are left out.
        digest: digest of the files of all images in use and the names of their degradations.

    Raises:
        ValueError: an unknown data set or image, a data set without a train split, no image left,
            or none as large as a patch, a batch that the processes cannot share evenly, or a
            range of levels where each image is degraded once.
        DatasetNotFound: the images of a data set are not there.
    """

    def __init__(
        self,
        recipe: Recipe,
        rank: int = 0,
        world: int = 1,
        prepare: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if recipe.batch % world:
            raise ValueError(
                f"recipe {recipe.name}: a batch of {recipe.batch} cannot be shared evenly by "
                f"{world} processes; start a number that divides it"
            )
        if prepare is not None and recipe.level is not None:
            raise ValueError(
                f"recipe {recipe.name}: level = {recipe.level}, but the network must see whole "
                "images, each of which is degraded once; drop level, or choose another network"
            )
        self._recipe, self._prepare = recipe, prepare
        self._slots = range(rank, recipe.batch, world)
        chosen = split_images(recipe)[0]
        tasks = [get_task(name) for name in recipe.tasks]
        whole = prepare is not None
        found = [source for dataset in chosen for source in _open_sources(dataset, tasks, whole)]
        fits = [min(source.size) >= self._least_side(source) for source in found]
        self._sources = list(compress(found, fits))
        self.too_small = [source.name for source, fit in zip(found, fits, strict=True) if not fit]
        if not self._sources:
            names = ", ".join(dataset.name for dataset in chosen)
            raise ValueError(
                f"recipe {recipe.name}: no image of {names} is as large as a "
                f"patch of {recipe.patch * recipe.scale} pixels and what its input depends on; "
                "lower `patch` or name other images"
            )
        pixels = np.array([math.prod(source.size) for source in self._sources])
        self._weights = pixels / pixels.sum()
        self._cache: LRUCache[tuple[int, str], Input] = LRUCache(
            _CACHE_BYTES, getsizeof=lambda image: image.nbytes
        )

    @cached_property
    def digest(self) -> str:
        """See the class; worker processes never ask, so they read no file for it."""
        return _digest_sources(self._sources)

    def __reduce__(self) -> tuple[type[PatchSampler], tuple[object, ...]]:
        """Worker processes make their own: it is what its recipe says."""
        return PatchSampler, (self._recipe, self._slots.start, self._slots.step, self._prepare)

    def __len__(self) -> int:
        return self._recipe.steps

    def __getitem__(self, step: int) -> Batch:
        """Cut this process's patches of a step; images are drawn in proportion to their pixels.

        Patches are flipped and transposed at random.

        Returns:
            Inputs [b, C, p, p] and targets [b, C, scale * p, scale * p], float32 on the scale of
            [0, 1].
        """
        pairs = [
            self._draw(np.random.default_rng((self._recipe.seed, step, slot)))
            for slot in self._slots
        ]
        inputs, targets = (np.stack(images) for images in zip(*pairs, strict=True))
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def _draw(self, rng: Generator) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """One patch [C, p, p] and its target."""
        index = int(rng.choice(len(self._sources), p=self._weights))
        source = self._sources[index]
        choice = int(rng.integers(len(source.tasks)))
        task, rule = source.tasks[choice], source.rules[choice]
        if rule is None:
            patch, target = self._cut_whole(rng, index, task)
        else:
            patch, target = self._cut_and_degrade(rng, index, task, rule)
        return _as_planes(patch), _as_planes(target)

    def _cut_and_degrade(
        self, rng: Generator, index: int, task: Task, rule: PatchRule
    ) -> tuple[Input, Input]:
        """Cut the target with a margin, degrade it, and cut the margin off."""
        target, size = self._read(index), self._recipe.patch
        side = min(target.shape[:2])
        margin = rule.margin(side)
        top, left, symmetry = _draw_corner(rng, target, size + 2 * margin)
        patch = _cut(target, top, left, size + 2 * margin, symmetry)
        own = task.level.value if task.level else 0
        low, high = self._recipe.level or (own, own)
        degraded = rule.degrade(patch, rng, side, rng.uniform(low, high))
        inner = slice(margin, margin + size)
        return degraded[inner, inner], patch[inner, inner]

    def _cut_whole(self, rng: Generator, index: int, task: Task) -> tuple[Input, Input]:
        """Cut the target and the input of the whole image."""
        size, scale = self._recipe.patch, self._recipe.scale
        degraded, target = self._read(index, task), self._read(index)
        top, left, symmetry = _draw_corner(rng, degraded, size)
        patch = _cut(degraded, top, left, size, symmetry)
        return patch, _cut(target, top * scale, left * scale, size * scale, symmetry)

    def _read(self, index: int, task: Task | None = None) -> Input:
        """The target of an image, or its input for a task; from memory if it is there."""
        key = (index, task.name if task else "")
        if key in self._cache:
            return self._cache[key]
        source = self._sources[index]
        if task is None:
            image: Input = source.tasks[0].make_target(source.read().image)
        else:
            image = task.make_pair(source.dataset, source.read()).input
            if self._prepare is not None:
                planes = torch.from_numpy(np.atleast_3d(image)).permute(2, 0, 1)[None]
                image = self._prepare(planes)[0].permute(1, 2, 0).contiguous().numpy()
        if image.nbytes <= _CACHE_BYTES:
            self._cache[key] = image
        return image

    def _least_side(self, source: _Source) -> int:
        """Smallest side of an image that holds a patch and what its input depends on."""
        margins = [rule.margin(min(source.size)) for rule in source.rules if rule is not None]
        return self._recipe.patch * self._recipe.scale + 2 * max(margins, default=0)


def iterate_batches(sampler: PatchSampler, steps: range, workers: int) -> Iterator[Batch]:
    """The batches of these steps in order, made ahead by worker processes if there are any."""
    loader: DataLoader[Batch] = DataLoader(
        sampler,
        sampler=steps,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_begin_worker,
        # A fork of this process would lack the threads that libvips and OpenMP wait for.
        multiprocessing_context="forkserver" if workers else None,
    )
    return iter(loader)


def open_datasets(recipe: Recipe) -> list[Dataset]:
    """The train splits and folders of one's own that a recipe names, whole.

    Raises:
        ValueError: an unknown data set, one without a train split, or a folder as in `load_folder`.
        DatasetNotFound: the images of one are not there.
    """
    return [
        load_dataset(chosen, split="train")
        if isinstance(chosen, str)
        else load_folder(Path(chosen.folder))
        for chosen in recipe.datasets
    ]


def split_images(recipe: Recipe) -> tuple[list[Dataset], list[Dataset]]:
    """The images of a recipe's data sets, less those held out, and those held out.

    Raises:
        ValueError: an unknown image, as many images held out as there are, or as `open_datasets`.
        DatasetNotFound: the images of a data set are not there.
    """
    datasets = open_datasets(recipe)
    known = [name for dataset in datasets for name in dataset.paths]
    where = f"the train split of {' and '.join(dataset.name for dataset in datasets)}"
    unknown = sorted({*recipe.images, *recipe.exclude} - set(known))
    if unknown:
        raise ValueError(
            f"recipe {recipe.name}: no image {', '.join(unknown)} in {where}; valid: "
            f"{', '.join(known)}"
        )
    chosen = [
        (index, name)
        for index, dataset in enumerate(datasets)
        for name in dataset.paths
        if name in (recipe.images or dataset.paths) and name not in recipe.exclude
    ]
    kept = len(chosen) - recipe.held_out
    if kept < 1:
        raise ValueError(
            f"recipe {recipe.name}: {recipe.held_out} of {len(chosen)} images of {where} are held "
            "out, which leaves none to train on; lower `held_out` or name more images"
        )

    def select(part: list[tuple[int, str]]) -> list[Dataset]:
        parts = (
            replace(
                dataset, paths={name: dataset.paths[name] for own, name in part if own == index}
            )
            for index, dataset in enumerate(datasets)
        )
        return [dataset for dataset in parts if dataset.paths]

    held_out = select(chosen[kept:])
    side = recipe.patch * recipe.scale
    for dataset in (part for part in held_out if part.split == "own"):
        for path in dataset.paths.values():
            height, width = read_size(path)
            if min(height, width) < side:
                raise ValueError(
                    f"recipe {recipe.name}: {path} has {height}x{width} pixels and is held out; "
                    f"{side}x{side} are needed, take it away (the last ones by name are held out)"
                )
    return select(chosen[:kept]), held_out


def _open_sources(dataset: Dataset, tasks: list[Task], whole: bool) -> list[_Source]:
    """The images of a set; one that ships inputs serves the task it ships them for alone.

    Where `whole`, whole images are degraded, also where patches could be.
    """
    own = tuple(task for task in tasks if dataset.pairs in ("", task.name))
    if not own:
        raise ValueError(
            f"{dataset.name} ships inputs for {dataset.pairs}, which is none of the tasks "
            f"{', '.join(task.name for task in tasks)}; drop the set or name that task"
        )
    if dataset.split == "own":
        dataset.check_pairs(own[0].scale)
    rules = tuple(
        None if whole or task.degradation(dataset) == "shipped" else task.patches for task in own
    )
    return [
        _Source(dataset, name, read_size(path), own, rules) for name, path in dataset.paths.items()
    ]


def _digest_sources(sources: list[_Source]) -> str:
    digests = []
    for source in sources:
        how = [f"{task.name}: {task.degradation(source.dataset)}" for task in source.tasks]
        with source.dataset.paths[source.name].open("rb") as file:
            digests += [source.name, hashlib.sha256(file.read()).hexdigest(), *how]
    return combine_digests(digests)


def _begin_worker(worker: int) -> None:
    """Take one core, and leave signals to the whole group of processes to the training itself."""
    cv2.setNumThreads(0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _draw_corner(rng: Generator, image: Input, size: int) -> tuple[int, int, npt.NDArray[np.int64]]:
    """Where a patch begins, and which of the eight symmetries of the square it is seen in."""
    top, left = rng.integers((image.shape[0] - size + 1, image.shape[1] - size + 1))
    return int(top), int(left), rng.integers(2, size=3)


def _cut(
    image: npt.NDArray[Any], top: int, left: int, size: int, symmetry: npt.NDArray[np.int64]
) -> npt.NDArray[Any]:
    """A square patch of [H, W, C] or [H, W] in one of its eight symmetries, a contiguous copy."""
    flip_rows, flip_columns, transpose = symmetry
    patch = image[top : top + size, left : left + size]
    if flip_rows:
        patch = patch[::-1]
    if flip_columns:
        patch = patch[:, ::-1]
    return np.ascontiguousarray(patch.swapaxes(0, 1) if transpose else patch)


def _as_planes(pixels: Input) -> npt.NDArray[np.float32]:
    """[H, W, C] or [H, W] to float32 [C, H, W] on the scale of [0, 1]."""
    planes = np.ascontiguousarray(np.moveaxis(np.atleast_3d(pixels), -1, 0), dtype=np.float32)
    return planes / np.float32(255) if pixels.dtype == np.uint8 else planes
