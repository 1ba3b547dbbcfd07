"""Features of images that are found again where an image is cut, scaled, coded anew or gray.

They are those of SIFT (Lowe 2004). The features of the public test sets lie beside the manifest, in
`features.npz`, so that test images are known where a set is absent.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.data.datasets import Dataset
from benchmarks.data.images import Image
from kgt.cache import find_in_cache, keep_in_cache
from kgt.files import write_atomically

Plane = npt.NDArray[np.uint8]
Places = npt.NDArray[np.float32]
OnImage = Callable[[str], None]

# Of what is found; what an older one kept is looked for again.
VERSION = 5
# Of an image, the strongest: one in so many pixels, within limits.
_PIXELS_PER_FEATURE, _LEAST, _MOST = 192, 800, 1600
# Larger images are made smaller, and small ones twice as large, or there is little to find.
_MOST_PIXELS, _SMALL = 2**20, 2**15
_LEAST_CONTRAST = 0.01
# Contrast is made even within so many pixels, but for what is weaker than so many steps.
_NEIGHBORHOOD, _WEAK, _CONTRAST = 16.0, 24.0, 48.0
# Orders the histograms of a descriptor, 4 x 4 of 8 orientations, as in the mirror image.
_MIRROR = np.arange(128).reshape(4, 4, 8)[::-1, :, -np.arange(8) % 8].ravel()
# Places are kept in parts of a pixel, square roots of shares as whole numbers.
_PARTS, _FINE = 8, (255, 255)
# A set of more images takes more room than time: its features are found anew.
_MOST_KEPT = 4000

# Beside the manifest, of each image: its strongest features, in fewer steps.
FEATURES_FILE = Path(__file__).with_name("features.npz")
_SHIPPED, _COARSE = 96, (24, 9)


@dataclass(frozen=True)
class Features:
    """What of an image is found again.

    Attributes:
        places: [n, 2] as x and y in pixels, the strongest first.
        descriptors: of unit norm, float32 [n, 128].
        height: of the image, in pixels.
        width: likewise.
    """

    places: Places
    descriptors: npt.NDArray[np.float32]
    height: int
    width: int

    @classmethod
    def of(cls, image: Image) -> Features:
        """Find the features of an image, uint8 [H, W] or [H, W, 3]."""
        plane = to_gray(image)
        height, width = plane.shape
        unit = _unit(height, width)
        if unit != 1:
            size = (round(width / unit), round(height / unit))
            how = cv2.INTER_AREA if unit > 1 else cv2.INTER_CUBIC
            plane = np.asarray(cv2.resize(plane, size, interpolation=how), np.uint8)
        number = min(max(plane.size // _PIXELS_PER_FEATURE, _LEAST), _MOST)
        detector = cv2.SIFT.create(
            nfeatures=number, contrastThreshold=_LEAST_CONTRAST, enable_precise_upscale=True
        )
        found, descriptors = detector.detectAndCompute(_even_out(plane), None)
        if descriptors is None:
            return cls(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32), height, width)
        order = np.argsort([-point.response for point in found], kind="stable")
        places = np.array([point.pt for point in found], np.float32)[order]
        # Square roots of shares compare better than SIFT's own (Arandjelovic, Zisserman 2012).
        roots = np.sqrt(descriptors / np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-9))
        places = ((places + 0.5) * unit - 0.5).astype(np.float32)
        return cls(places, roots[order].astype(np.float32), height, width)

    @property
    def unit(self) -> float:
        """Pixels of the image per pixel of what the features were found in."""
        return _unit(self.height, self.width)

    def strongest(self, number: int) -> Features:
        """These features without the weaker ones."""
        kept = slice(number)
        return Features(self.places[kept], self.descriptors[kept], self.height, self.width)

    def mirror(self) -> Features:
        """The features of the mirror image."""
        places = np.stack([self.width - 1 - self.places[:, 0], self.places[:, 1]], axis=1)
        return Features(places, self.descriptors[:, _MIRROR], self.height, self.width)


def to_gray(image: Image) -> Plane:
    """Gray values of an image, uint8 [H, W]."""
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def find_features(dataset: Dataset, on_image: OnImage = lambda name: None) -> dict[str, Features]:
    """Features of the images of a set that can be decoded, by stem; kept in the cache.

    Args:
        dataset: the set.
        on_image: called with the set and name of each image before it is decoded.
    """
    path = find_in_cache(f"leaks/features-{VERSION}-{dataset.file_digest[:24]}.npz")
    if path.exists():
        with np.load(path) as arrays:
            return _unpack(arrays)
    found = {}
    for item in dataset:
        on_image(f"{dataset.name}/{item.name}")
        try:
            found[item.name] = Features.of(item.image)
        except (OSError, ValueError):  # whoever uses the image says what is wrong with it
            continue
    if len(found) <= _MOST_KEPT:
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **_pack(found, *_FINE))
        keep_in_cache(path, file.getvalue())
    return found


@dataclass(frozen=True)
class Shipped:
    """The features of a test set that lie beside the manifest.

    Attributes:
        digest: of the set that they were found in, see `Dataset.digest`.
        features: of its images, by stem.
    """

    digest: str
    features: Mapping[str, Features]


@cache
def read_shipped() -> dict[tuple[str, str], Shipped]:
    """The features beside the manifest, by name and split of their sets."""
    with np.load(FEATURES_FILE) as arrays:
        found = _unpack(arrays)
        digests = dict(zip(arrays["sets"].tolist(), arrays["digests"].tolist(), strict=True))
    shipped = {}
    for entry, digest in digests.items():
        name, split = entry.split("/")
        images = {
            key.removeprefix(f"{entry}/"): features
            for key, features in found.items()
            if key.startswith(f"{entry}/")
        }
        shipped[name, split] = Shipped(digest, images)
    return shipped


def write_shipped(datasets: Iterable[Dataset], on_image: OnImage = lambda name: None) -> None:
    """Put features of sets beside the manifest; those of other sets stay as they are.

    Args:
        datasets: the sets.
        on_image: called with the set and name of each image before it is decoded.

    Raises:
        OSError: the file cannot be written.
    """
    shipped = dict(read_shipped()) if FEATURES_FILE.exists() else {}
    for dataset in datasets:
        features = find_features(dataset, on_image)
        shipped[dataset.name, dataset.split] = Shipped(dataset.digest, features)
    images = {
        f"{name}/{split}/{stem}": features.strongest(_SHIPPED)
        for (name, split), one in sorted(shipped.items())
        for stem, features in one.features.items()
    }
    file = io.BytesIO()
    np.savez_compressed(
        file,
        sets=np.array([f"{name}/{split}" for name, split in sorted(shipped)]),
        allow_pickle=False,
        digests=np.array([one.digest for _, one in sorted(shipped.items())]),
        **_pack(images, *_COARSE),
    )
    write_atomically(FEATURES_FILE, file.getvalue())
    read_shipped.cache_clear()


def _pack(images: Mapping[str, Features], steps: int, most: int) -> dict[str, npt.NDArray[Any]]:
    """Features of images as arrays, descriptors in whole steps of 1 / `steps` up to `most`."""
    every = list(images.values())
    places = np.concatenate([np.zeros((0, 2), np.float32), *(one.places for one in every)])
    descriptors = [np.minimum(np.rint(one.descriptors * steps), most) for one in every]
    return {
        "names": np.array(list(images), dtype=np.str_),
        "sizes": np.array([(one.height, one.width) for one in every], np.int32).reshape(-1, 2),
        "counts": np.array([len(one.places) for one in every], np.int32),
        "places": np.clip(np.rint(places * _PARTS), 0, 2**16 - 1).astype(np.uint16),
        "descriptors": np.concatenate([np.zeros((0, 128)), *descriptors]).astype(np.uint8),
    }


def _unpack(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Features]:
    ends = np.cumsum(arrays["counts"])
    places = arrays["places"].astype(np.float32) / _PARTS
    descriptors = arrays["descriptors"].astype(np.float32)
    descriptors /= np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-9)
    parts = (np.split(part, ends[:-1]) for part in (places, descriptors))
    columns = zip(arrays["names"].tolist(), *parts, arrays["sizes"].tolist(), strict=True)
    return {name: Features(own, shares, *size) for name, own, shares, size in columns}


def _unit(height: int, width: int) -> float:
    if height * width < _SMALL:
        return 0.5
    return max(1.0, math.sqrt(height * width / _MOST_PIXELS))


def _even_out(plane: Plane) -> Plane:
    """Contrast made even, so that plain parts of an image have features as well."""
    values = plane.astype(np.float32)
    values -= cv2.GaussianBlur(values, (0, 0), _NEIGHBORHOOD)
    spread = np.sqrt(cv2.GaussianBlur(values * values, (0, 0), _NEIGHBORHOOD))
    return np.clip(128 + values / (spread + _WEAK) * _CONTRAST, 0, 255).astype(np.uint8)
