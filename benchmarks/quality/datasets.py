"""The manifest of image sets, where they are looked for, and digests of their pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
from skimage.data import data_dir

Image = npt.NDArray[np.uint8]

DATA_ROOT_VARIABLE = "KGT_DATA"

# JPEG is here for sets that were published as JPEG; every other format is lossless.
_SUFFIXES = frozenset({".png", ".webp", ".bmp", ".tif", ".tiff", ".jpg"})


class DatasetNotFound(ValueError):  # noqa: N818  (states what happened, as FileNotFound does)
    """A data root, a folder or all images of a known set are absent."""


@dataclass(frozen=True)
class Split:
    """Where the images of one split lie.

    Attributes:
        folder: Folder of the images, relative to the data root unless absolute.
        count: Number of images the published set has.
        stems: File stems that make up the split; empty for every image of the folder.
    """

    folder: str
    count: int
    stems: tuple[str, ...] = ()


# The images of the scikit-image wheel, less the synthetic and the deliberately blurred ones.
_EMBEDDED_TEST = ("astronaut", "camera", "chelsea", "coffee")
_EMBEDDED_TRAIN = (
    *("brick", "cell", "coins", "grass", "gravel", "hubble_deep_field", "ihc", "moon"),
    *("motorcycle_left", "motorcycle_right", "page", "retina", "rocket", "text"),
)

_SUPER_RESOLUTION_SETS = {"Set5": 5, "Set14": 14, "BSD100": 100, "Urban100": 100, "Manga109": 109}

MANIFEST: dict[str, dict[str, Split]] = {
    "embedded": {
        "test": Split(data_dir, len(_EMBEDDED_TEST), _EMBEDDED_TEST),
        "train": Split(data_dir, len(_EMBEDDED_TRAIN), _EMBEDDED_TRAIN),
    },
    **{
        name: {"test": Split(f"{name}/HR", count)} for name, count in _SUPER_RESOLUTION_SETS.items()
    },
}


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
        name: Name in the manifest.
        split: "test" or "train".
        folder: Folder the images were found in.
        paths: Image files by stem.
        expected: Number of images the published split has.
    """

    name: str
    split: str
    folder: Path
    paths: dict[str, Path]
    expected: int

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
            DatasetNotFound: The set ships no such file.
        """
        folder = self._low_resolution_folder(scale)
        stem = f"{name}x{scale}"
        paths = find_images(folder)
        if stem not in paths:
            raise DatasetNotFound(f"no image {stem} in {folder}")
        return read_image(paths[stem])

    def _low_resolution_folder(self, scale: int) -> Path:
        return self.folder.parent / "LR_bicubic" / f"X{scale}"


def list_datasets(split: str = "test") -> list[str]:
    """Names of the sets that have the given split, sorted."""
    return sorted(name for name, splits in MANIFEST.items() if split in splits)


def load_dataset(name: str, split: str = "test") -> Dataset:
    """Find the images of a set; nothing is decoded yet.

    Training code asks for `split="train"`, which no test set has.

    Raises:
        ValueError: Unknown name or split, or more images than the published set has.
        DatasetNotFound: None of the images are there.
    """
    if name not in MANIFEST:
        raise ValueError(f"unknown dataset {name!r}; valid names: {', '.join(sorted(MANIFEST))}")
    if split not in MANIFEST[name]:
        raise ValueError(
            f"dataset {name} has no {split!r} split, only {', '.join(MANIFEST[name])}; "
            f"sets with one: {', '.join(list_datasets(split)) or 'none'}"
        )
    entry = MANIFEST[name][split]
    folder = _resolve_folder(name, entry)
    paths = find_images(folder)
    if entry.stems:
        paths = {stem: path for stem, path in paths.items() if stem in entry.stems}
    if not paths:
        raise DatasetNotFound(
            f"dataset {name}: {entry.count} images expected in {folder}, none found; put them "
            f"there, or set {DATA_ROOT_VARIABLE} to the folder that holds {entry.folder}"
        )
    if len(paths) > entry.count:
        raise ValueError(
            f"dataset {name}: {len(paths)} images in {folder}, the published set has "
            f"{entry.count}; remove those that do not belong to it"
        )
    return Dataset(name, split, folder, paths, entry.count)


def _resolve_folder(name: str, entry: Split) -> Path:
    folder = Path(entry.folder)
    if folder.is_absolute():
        return folder
    root = os.environ.get(DATA_ROOT_VARIABLE)
    if not root:
        raise DatasetNotFound(
            f"dataset {name}: {entry.count} images expected in ${DATA_ROOT_VARIABLE}/{folder}, but "
            f"{DATA_ROOT_VARIABLE} is not set; set it to the folder that holds the datasets, "
            "or use 'embedded', which needs no data"
        )
    return Path(root) / folder


def find_images(folder: Path) -> dict[str, Path]:
    """Image files of a folder by stem, sorted; empty where the folder is missing.

    Raises:
        ValueError: Two files share a stem, so that it is unclear which is meant.
    """
    paths: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() not in _SUFFIXES:
            continue
        if path.stem in paths:
            raise ValueError(f"{paths[path.stem]} and {path.name} share a stem; keep one of them")
        paths[path.stem] = path
    return paths


def read_image(path: Path) -> Image:
    """Decode an 8-bit image, uint8 [H, W, 3] (RGB) or [H, W] (gray).

    Raises:
        ValueError: Not an 8-bit gray or RGB image.
        OSError: The file cannot be read or decoded.
    """
    with PIL.Image.open(path) as file:
        decoded = file.convert("RGB") if file.mode == "P" else file
        if decoded.mode not in ("L", "RGB"):
            raise ValueError(f"{path}: 8-bit gray or RGB expected, got mode {decoded.mode}")
        return np.array(decoded)


def digest_pixels(image: npt.NDArray[np.generic]) -> str:
    """SHA-256 over shape, dtype and bytes: equal for equal pixels in whatever file format."""
    header = f"{image.shape} {image.dtype.name} ".encode()
    return hashlib.sha256(header + image.tobytes()).hexdigest()


def combine_digests(digests: Iterable[str]) -> str:
    """SHA-256 of a sequence of digests; their order matters."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
