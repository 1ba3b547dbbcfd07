"""Image sets on this machine: found by the manifest, read lazily, digested by their pixels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benchmarks.data.images import (
    Image,
    combine_digests,
    digest_pixels,
    find_images,
    read_image,
)
from benchmarks.data.manifest import MANIFEST, Split
from kgt.errors import unknown

DATA_ROOT_VARIABLE = "KGT_DATA"


class DatasetNotFound(ValueError):  # noqa: N818  (states what happened, as FileNotFound does)
    """A data root, a folder or all images of a known set are absent."""


@dataclass(frozen=True)
class Item:
    """One image of a set, decoded when first asked for."""

    name: str
    path: Path

    @cached_property
    def image(self) -> Image:
        """Pixels, uint8 [H, W, 3] (RGB) or [H, W] (gray); raises like `read_image`."""
        return read_image(self.path)

    @property
    def digest(self) -> str:
        """Digest of the decoded pixels, see `digest_pixels`."""
        return digest_pixels(self.image)


@dataclass(frozen=True)
class Dataset:
    """One split of a set; iterating yields fresh `Item`s in the order of their names.

    Attributes:
        name: name in the manifest.
        split: "test", "val" or "train".
        folder: folder the clean images were found in.
        paths: files of the clean images by stem. A set of pairs has an entry for every input, too,
            though the file may be missing.
        expected: number of images the published split has.
        pairs: task whose degraded images the set ships; empty where it ships none.
        inputs: files of the degraded images by stem.
    """

    name: str
    split: str
    folder: Path
    paths: dict[str, Path]
    expected: int
    pairs: str = ""
    inputs: dict[str, Path] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Item]:
        return (Item(name, path) for name, path in self.paths.items())

    @property
    def coverage(self) -> str:
        """Images present out of those published, as in "25 of 100"."""
        return f"{len(self)} of {self.expected}"

    def digest(self) -> str:
        """Decode every image and digest names and pixels."""
        return combine_digests(f"{item.name}:{item.digest}" for item in self)

    def ships_low_resolution(self, scale: int) -> bool:
        """Whether low-resolution files for `scale` lie beside the set."""
        return self._low_resolution_folder(scale).is_dir()

    def read_low_resolution(self, name: str, scale: int) -> Image:
        """Read the shipped low-resolution file of image `name`, uint8 [h, w, 3] or [h, w].

        Raises:
            DatasetNotFound: the set ships no such file.
        """
        folder = self._low_resolution_folder(scale)
        stem = f"{name}x{scale}"
        paths = find_images(folder)
        if stem not in paths:
            raise DatasetNotFound(f"no image {stem} in {folder}")
        return read_image(paths[stem])

    def read_pair(self, name: str) -> tuple[Image, Image]:
        """Read the shipped degraded and clean image of `name`, uint8 [H, W, 3] or [H, W] each.

        Raises:
            DatasetNotFound: one of the two files is missing; the message names both.
            ValueError: their sizes differ.
        """
        degraded, clean = self.inputs.get(name), self.paths[name]
        if degraded is None:
            raise DatasetNotFound(
                f"{clean} has no input {self.folder.parent / 'input' / name}.*; "
                "inputs and targets are paired by their stems"
            )
        if not clean.is_file():
            raise DatasetNotFound(
                f"{degraded} has no target {self.folder / name}.*; "
                "inputs and targets are paired by their stems"
            )
        pair = read_image(degraded), read_image(clean)
        if pair[0].shape[:2] != pair[1].shape[:2]:
            sizes = ["x".join(map(str, image.shape[:2])) for image in pair]
            raise ValueError(
                f"{degraded} has {sizes[0]} pixels, its target {clean} {sizes[1]}; "
                "pairs must be of one size, fetch both anew"
            )
        return pair

    def _low_resolution_folder(self, scale: int) -> Path:
        return self.folder.parent / "LR_bicubic" / f"X{scale}"


def list_datasets(split: str = "test") -> list[str]:
    """Names of the sets that have the given split, sorted."""
    return sorted(name for name, splits in MANIFEST.items() if split in splits)


def load_dataset(name: str, split: str = "test") -> Dataset:
    """Find the images of a set; nothing is decoded yet.

    Training code asks for `split="train"`, which no test set has.

    Raises:
        ValueError: unknown name or split, or more images than the published set has.
        DatasetNotFound: none of the images are there.
    """
    if name not in MANIFEST:
        raise unknown("dataset", name, sorted(MANIFEST))
    if split not in MANIFEST[name]:
        raise ValueError(
            f"dataset {name} has no {split!r} split, only {', '.join(MANIFEST[name])}; "
            f"sets with one: {', '.join(list_datasets(split)) or 'none'}"
        )
    entry = MANIFEST[name][split]
    dataset = find_dataset(name, split)
    if len(dataset) > entry.count:
        raise ValueError(
            f"dataset {name}: {len(dataset)} images in {dataset.folder}, the published set has "
            f"{entry.count}; remove those that do not belong to it"
        )
    return dataset


def find_dataset(name: str, split: str) -> Dataset:
    """`load_dataset` of a known split, however many images there are.

    Raises:
        ValueError: two files share a stem.
        DatasetNotFound: none of the images are there.
    """
    entry = MANIFEST[name][split]
    for folder in _candidate_folders(name, entry):
        inputs = find_images(folder / "input") if entry.pairs else {}
        clean = folder / "target" if entry.pairs else folder
        paths = find_images(clean)
        if entry.stems:
            paths = {stem: path for stem, path in paths.items() if stem in entry.stems}
        missing = {stem: clean / path.name for stem, path in inputs.items() if stem not in paths}
        paths = dict(sorted({**paths, **missing}.items()))
        if paths:
            return Dataset(name, split, clean, paths, entry.count, entry.pairs, inputs)
    expected = _candidate_folders(name, entry)[0]
    within = " (in input and target)" if entry.pairs else ""
    raise DatasetNotFound(
        f"dataset {name}: {entry.count} images expected in {expected}{within}, none found; put "
        f"them there, or set {DATA_ROOT_VARIABLE} to the folder that holds {entry.folder}"
    )


def _candidate_folders(name: str, entry: Split) -> list[Path]:
    if Path(entry.folder).is_absolute():
        return [Path(entry.folder)]
    root = os.environ.get(DATA_ROOT_VARIABLE)
    if not root:
        raise DatasetNotFound(
            f"dataset {name}: {entry.count} images expected in ${DATA_ROOT_VARIABLE}/"
            f"{entry.folder}, but {DATA_ROOT_VARIABLE} is not set; set it to the folder that holds "
            "the datasets, or use 'embedded', which needs no data"
        )
    return [Path(root) / folder for folder in (entry.folder, *entry.alternatives)]
