"""Image sets on this machine: found by the manifest, read lazily, digested by their pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.data.images import (
    DECODER,
    Image,
    combine_digests,
    digest_pixels,
    find_images,
    read_image,
    read_size,
)
from benchmarks.data.manifest import DESCRIPTION, GENERATED, MANIFEST, Split, describe_folder
from benchmarks.data.twins import write_set
from kgt.cache import find_in_cache, keep_in_cache
from kgt.errors import unknown

DATA_ROOT_VARIABLE = "KGT_DATA"
_DIGESTS = TypeAdapter(dict[str, str])


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
        split: "test", "val" or "train"; "own" of a folder that is in no manifest.
        folder: folder the clean images were found in.
        paths: files of the clean images by stem. A set of pairs has an entry for every input, too,
            though the file may be missing.
        expected: number of images that belong to it.
        pairs: task whose degraded images the set ships; empty where it ships none.
        inputs: files of the degraded images by stem.
        source: whose the images are.
    """

    name: str
    split: str
    folder: Path
    paths: dict[str, Path]
    expected: int
    pairs: str = ""
    inputs: dict[str, Path] = field(default_factory=dict)
    source: str = ""

    @cached_property
    def label(self) -> str:
        """Its name in records; one's own has a digest of its files, to be taken for no other."""
        return self.name if self.split != "own" else f"{self.name}@{self.file_digest[:12]}"

    @cached_property
    def file_digest(self) -> str:
        """Of the names and bytes of all files; nothing is decoded for it."""
        files = [path for name in self.paths for path in (self.inputs.get(name), self.paths[name])]
        return combine_digests(
            f"{path.stem}:{hashlib.sha256(path.read_bytes()).hexdigest()}"
            for path in files
            if path and path.is_file()
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Item]:
        return (Item(name, path) for name, path in self.paths.items())

    @property
    def is_generated(self) -> bool:
        """Whether it is made on this machine; a folder of one's own is not, whatever its name."""
        return self.split != "own" and self.name in GENERATED

    @property
    def coverage(self) -> str:
        """Images present out of those published, as in "25 of 100"."""
        return f"{len(self)} of {self.expected}"

    @cached_property
    def digest(self) -> str:
        """Of the names and decoded pixels of all images; raises like `read_image`."""
        known = self.pixel_digests
        return combine_digests(
            f"{item.name}:{known.get(item.name) or item.digest}" for item in self
        )

    @cached_property
    def pixel_digests(self) -> dict[str, str]:
        """`Item.digest` of the images that can be decoded, by stem; kept in the cache."""
        path = find_in_cache(f"pixels/{self.file_digest[:24]}-{DECODER}.json")
        if path.exists():
            return _DIGESTS.validate_json(path.read_bytes())
        digests = {}
        for item in self:
            with suppress(OSError, ValueError):
                digests[item.name] = item.digest
        keep_in_cache(path, _DIGESTS.dump_json(digests))
        return digests

    def ships_low_resolution(self, scale: int) -> bool:
        """Whether low-resolution files for `scale` lie beside the set; not of one's own folder."""
        return self.split != "own" and self._low_resolution_folder(scale).is_dir()

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

    def check_pairs(self, scale: int) -> None:
        """Refuse pairs that do not fit, by the headers of their files; other sets are taken.

        Raises:
            ValueError: the size of a target is not `scale` times that of its input.
            OSError: a file is no image.
        """
        for name, degraded in self.inputs.items():
            if name in self.paths:
                _check_sizes(
                    (degraded, read_size(degraded)),
                    (self.paths[name], read_size(self.paths[name])),
                    scale,
                )

    def read_pair(self, name: str, scale: int = 1) -> tuple[Image, Image]:
        """Read the shipped degraded and clean image of `name`, uint8 [h, w, 3] or [h, w] each.

        Raises:
            DatasetNotFound: one of the two files is missing; the message names both.
            ValueError: the size of the clean one, but for a rest, is not `scale` times the other's.
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
        _check_sizes((degraded, pair[0].shape), (clean, pair[1].shape), scale)
        return pair

    def _low_resolution_folder(self, scale: int) -> Path:
        return self.folder.parent / "LR_bicubic" / f"X{scale}"


def _check_sizes(
    degraded: tuple[Path, tuple[int, ...]], clean: tuple[Path, tuple[int, ...]], scale: int
) -> None:
    """Refuse files of a pair, with height and width, that do not fit."""
    (input_path, (height, width, *_)), (target_path, (rows, columns, *_)) = degraded, clean
    if (rows // scale, columns // scale) != (height, width):
        needed = f"{scale} times that size" if scale > 1 else "of the same size"
        raise ValueError(
            f"{input_path} has {height}x{width} pixels, its target {target_path} {rows}x{columns}; "
            f"a target must be {needed}: exchange one of them"
        )


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
    if len(dataset) > dataset.expected:
        raise ValueError(
            f"dataset {name}: {len(dataset)} images in {dataset.folder}, the published set has "
            f"{entry.count}; remove those that do not belong to it"
        )
    return dataset


def load_folder(folder: Path) -> Dataset:
    """The images of a folder of one's own, as a `dataset.yaml` in it says, if there is one.

    Raises:
        ValueError: the description is wrong, an image of a pair has no partner, or the number of
            images is not the described one.
        DatasetNotFound: there are no images.
    """
    if not folder.is_dir():
        raise DatasetNotFound(f"there is no folder {folder}")
    entry = describe_folder(folder)
    dataset = _find(entry.name, "own", entry)
    if len(dataset) != dataset.expected:
        raise ValueError(
            f"{dataset.folder} has {len(dataset)} images, {entry.count} by {folder / DESCRIPTION}"
        )
    return _check_partners(dataset)


def pair_folders(inputs: Path, targets: Path, task: str) -> Dataset:
    """Pairs of one's own: the images of two folders that share their stems.

    Args:
        inputs: folder of the degraded images.
        targets: folder of the clean images.
        task: name of the task that they are for.

    Raises:
        ValueError: an image has no partner.
        DatasetNotFound: a folder has no images.
    """
    found = []
    for folder in (inputs, targets):
        found.append(find_images(folder))
        if not found[-1]:
            raise DatasetNotFound(f"{folder} has no images; folders within it are not searched")
    degraded, clean = found
    name = f"{inputs.resolve().name}+{targets.resolve().name}"
    paths = {stem: clean.get(stem, targets / stem) for stem in sorted({*degraded, *clean})}
    return _check_partners(Dataset(name, "own", targets, paths, len(paths), task, degraded))


def _check_partners(dataset: Dataset) -> Dataset:
    """Refuse pairs of one's own of which one image is missing, all of them in one line."""
    if dataset.pairs:
        inputs = [str(path) for name, path in dataset.paths.items() if name not in dataset.inputs]
        targets = [
            str(dataset.inputs[name]) for name, path in dataset.paths.items() if not path.is_file()
        ]
        lone = {"without an input": inputs, "without a target": targets}
        faults = [
            f"{len(paths)} {what}, such as {', '.join(paths[:3])}"
            for what, paths in lone.items()
            if paths
        ]
        if faults:
            raise ValueError(
                f"images of {dataset.name} are paired by their names, and there are "
                f"{'; '.join(faults)}; add their partners or take them away"
            )
    return dataset


def find_dataset(name: str, split: str) -> Dataset:
    """`load_dataset` of a known split, however many images there are.

    Raises:
        ValueError: two files share a stem.
        DatasetNotFound: none of the images are there, or the cache takes none that are made here.
    """
    entry = MANIFEST[name][split]
    if name in GENERATED:
        try:
            entry = replace(entry, folder=str(write_set(name).absolute()))
        except OSError as error:
            raise DatasetNotFound(f"dataset {name} is made here, and cannot be: {error}") from error
    return _find(name, split, entry)


def _find(name: str, split: str, entry: Split) -> Dataset:
    for folder in _candidate_folders(name, entry):
        inputs = find_images(folder / entry.input) if entry.pairs else {}
        clean = folder / entry.target if entry.pairs else folder
        paths = find_images(clean)
        if entry.stems:
            paths = {stem: path for stem, path in paths.items() if stem in entry.stems}
        missing = {stem: clean / path.name for stem, path in inputs.items() if stem not in paths}
        paths = dict(sorted({**paths, **missing}.items()))
        if paths:
            count = len(paths) if entry.count is None else entry.count
            return Dataset(name, split, clean, paths, count, entry.pairs, inputs, entry.source)
    expected = _candidate_folders(name, entry)[0]
    within = f" (in {entry.input} and {entry.target})" if entry.pairs else ""
    if split == "own":
        raise DatasetNotFound(
            f"{expected} has no images{within}; folders within it are not searched"
        )
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
