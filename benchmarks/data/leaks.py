"""Training images that are test images, or parts of them: cut, scaled, mirrored, coded anew, gray.

Features that survive all of that say which images may be the same and how one lies in the other;
the pixels decide. Of a test set that is absent, the features beside the manifest decide alone.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from benchmarks.data.datasets import Dataset
from benchmarks.data.features import VERSION, Features, OnImage, Places, Plane, to_gray
from benchmarks.data.images import Image, read_image
from benchmarks.data.sought import Sought, SoughtSet
from kgt.cache import find_in_cache, keep_in_cache

Array = npt.NDArray[np.float64]

# Of what is found; what an older one kept is looked for again.
_VERSION = 3
# Training images in which test images are looked for at once, for memory is finite.
_AT_ONCE = 250
# A feature fits where it is this much nearer than any of another place, or nearer than that.
_NEARER, _NEAR = 0.8, 0.3
# Several features must agree on one scale and offset, to so many pixels, without a rotation; and
# many more where there are no pixels to ask.
_AGREEING, _AGREEING_ALONE, _TOLERANCE, _LARGEST_ANGLE = 4, 8, 2.5, 3.0
_SCALES = (0.2, 5.0)
# Images of one scene taken apart stay below 0.6, and cuts that are coded anew above 0.95.
_SAME = 0.85
_LEAST_PIXELS = 500


@dataclass(frozen=True)
class Leak:
    """A training image that shows what a test image shows.

    Attributes:
        training: set and name of the training image.
        test: set and name of the test image.
        scale: pixels of the training image per pixel of the test image.
        left: of the test image in the training image, in pixels of that; below 0 outside of it.
        top: likewise.
        mirrored: whether one is the mirror image of the other.
        overlap: share of the test image that the training image shows.
        agreeing: features that say so; 0 where nobody asked them.
        correlation: of the gray values where both are; None where the test image is absent.
        exact: whether the pixels there are equal.
    """

    training: str
    test: str
    scale: float = 1.0
    left: float = 0.0
    top: float = 0.0
    mirrored: bool = False
    overlap: float = 1.0
    agreeing: int = 0
    correlation: float | None = 1.0
    exact: bool = True

    @property
    def stem(self) -> str:
        """Name of the training image within its set."""
        return self.training.rpartition("/")[2]

    def __str__(self) -> str:
        if self.exact:
            how = "pixel by pixel"
        elif self.correlation is not None:
            how = f"correlation {self.correlation:.3f}"
        else:
            how = f"by {self.agreeing} features"
        mirrored = ", mirrored" if self.mirrored else ""
        return (
            f"{self.training} shows {self.overlap:.0%} of {self.test} at scale {self.scale:.2f}, "
            f"offset ({self.left:.0f}, {self.top:.0f}){mirrored}, {how}"
        )


_LEAKS = TypeAdapter(list[Leak])


def find_copies(
    training: Dataset, tests: Iterable[SoughtSet], on_image: OnImage = lambda name: None
) -> list[Leak]:
    """The images of a set for training whose pixels are those of test images, all of them.

    Args:
        training: the set for training.
        tests: the test sets; those that are absent have no pixels.
        on_image: called with the name of each set before its images are decoded.
    """
    on_image(training.name)
    own = defaultdict(list)
    for stem, digest in training.pixel_digests.items():
        own[digest].append(f"{training.name}/{stem}")
    leaks = []
    for dataset in (test.dataset for test in tests if test.dataset):
        on_image(dataset.name)
        for stem, digest in dataset.pixel_digests.items():
            leaks += [Leak(name, f"{dataset.name}/{stem}") for name in own.get(digest, ())]
    return leaks


def find_leaks(
    training: Dataset, tests: Sequence[SoughtSet], on_image: OnImage = lambda name: None
) -> list[Leak]:
    """The images of a set for training that show images of test sets.

    What was found is kept in the cache by the digests of both sets, so that it is looked for once.

    Args:
        training: the set for training; one that is generated shows no image of another.
        tests: the test sets.
        on_image: called with the set and name of each image before it is looked at.
    """
    if training.is_generated:
        return []
    kept = [_find_kept(training, test) for test in tests]
    found = {path: _LEAKS.validate_json(path.read_bytes()) for path in kept if path.exists()}
    missing = [(path, test) for path, test in zip(kept, tests, strict=True) if path not in found]
    if missing:
        searched = _search(training, [test for _, test in missing], on_image)
        for (path, _), leaks in zip(missing, searched, strict=True):
            found[path] = leaks
            keep_in_cache(path, _LEAKS.dump_json(leaks))
    return [leak for path in kept for leak in found[path]]


def _find_kept(training: Dataset, test: SoughtSet) -> Path:
    sides = (training.name, training.file_digest, test.name, test.digest)
    digest = hashlib.sha256(" ".join(map(str, (_VERSION, VERSION, *sides))).encode()).hexdigest()
    return find_in_cache(f"leaks/{digest[:24]}.json")


def _search(training: Dataset, tests: list[SoughtSet], on_image: OnImage) -> list[list[Leak]]:
    found: list[list[Leak]] = [[] for _ in tests]
    paths = list(training.paths.items())
    for start in range(0, len(paths), _AT_ONCE):
        images = TrainingImages(
            [
                (f"{training.name}/{stem}", partial(read_image, path))
                for stem, path in paths[start : start + _AT_ONCE]
            ],
            on_image,
        )
        for test, leaks in zip(tests, found, strict=True):
            for sought in test.open(on_image):
                on_image(sought.name)
                leaks += images.find(sought)
    return found


class TrainingImages:
    """Training images in which test images are looked for; what cannot be decoded is left out.

    Args:
        images: name of each, and what gives its pixels, uint8 [H, W] or [H, W, 3], now and whenever
            they are needed.
        on_image: called with each name before the image is decoded.
    """

    def __init__(
        self,
        images: Iterable[tuple[str, Callable[[], Image]]],
        on_image: OnImage = lambda name: None,
    ) -> None:
        self._images: list[tuple[str, Callable[[], Image], Features]] = []
        for name, read in images:
            on_image(name)
            with suppress(OSError, ValueError):  # whoever trains on it says what is wrong with it
                self._images.append((name, read, Features.of(read())))
        found = [features for _, _, features in self._images]
        self._owners = np.repeat(range(len(found)), [len(one.places) for one in found])
        self._places = _join([one.places for one in found], 2)
        plain, mirrored = (
            _join([one.descriptors for one in side], 128)
            for side in (found, [one.mirror() for one in found])
        )
        self._descriptors = np.concatenate([plain, mirrored])
        # Trees of the nearest descriptors (Muja and Lowe 2009): 4, of which 24 leaves are read.
        if len(self._places) > 1:
            self._trees = cv2.flann.Index(self._descriptors, {"algorithm": 1, "trees": 4})

    def find(self, sought: Sought) -> list[Leak]:
        """The training images that show a test image, the most alike first."""
        leaks = sorted(self._find(sought), key=lambda leak: (leak.correlation or 0, leak.agreeing))
        return list({leak.training: leak for leak in leaks}.values())[::-1]

    def _find(self, sought: Sought) -> Iterator[Leak]:
        least = _AGREEING if sought.read else _AGREEING_ALONE
        for number, mirrored, map_, agreeing in self._fit(sought.features, least):
            name, read, found = self._images[number]
            leak = Leak(
                training=name,
                test=sought.name,
                scale=float(np.hypot(map_[0, 0], map_[1, 0])),
                left=float(map_[0, 2]),
                top=float(map_[1, 2]),
                mirrored=mirrored,
                overlap=_overlap(map_, sought.features, found),
                agreeing=agreeing,
                correlation=None,
                exact=False,
            )
            if sought.read is None:
                yield leak
                continue
            plane = to_gray(sought.read())
            leak = _compare(leak, plane[:, ::-1] if mirrored else plane, to_gray(read()), map_)
            if (leak.correlation or 0) >= _SAME:
                yield leak

    def _fit(self, features: Features, least: int) -> Iterator[tuple[int, bool, Array, int]]:
        """Training images by number, whether one is mirrored, and what many features agree on.

        That is a map [2, 3] from the test image, mirrored if need be, and the number of features.
        """
        if len(features.places) < least or len(self._places) < 2:
            return
        found, squares = self._trees.knnSearch(features.descriptors, 3, params={"checks": 24})
        nearest, distances = np.asarray(found), np.sqrt(np.asarray(squares))
        is_mirrored, place = np.divmod(nearest, len(self._places))
        # A feature that is its own mirror image has both beside each other.
        rival = np.where(place[:, 0] == place[:, 1], distances[:, 2], distances[:, 1])
        fits = (distances[:, 0] < _NEARER * rival) | (distances[:, 0] < _NEAR)
        place, sides = place[:, 0], 2 * self._owners[place[:, 0]] + is_mirrored[:, 0]
        votes = np.bincount(sides[fits], minlength=2 * len(self._images))
        both = (features.places, features.mirror().places)
        for side in np.flatnonzero(votes >= least).tolist():
            chosen = np.flatnonzero(fits & (sides == side))
            # Where many features fit one, as in windows of a house, one of them counts.
            _, first = np.unique(place[chosen], return_index=True)
            chosen = chosen[first]
            number, mirrored = divmod(side, 2)
            tolerance = _TOLERANCE * max(1.0, self._images[number][2].unit)
            own, others = both[mirrored][chosen], self._places[place[chosen]]
            map_, agreeing = _fit_places(own, others, tolerance)
            if map_ is not None and agreeing >= least:
                yield number, bool(mirrored), map_, agreeing


def _join(parts: Sequence[npt.NDArray[np.float32]], width: int) -> npt.NDArray[np.float32]:
    return np.concatenate([np.zeros((0, width), np.float32), *parts])


def _fit_places(places: Places, others: Places, tolerance: float) -> tuple[Array | None, int]:
    """The scale and offset [2, 3] that most features agree on, if it is a plausible one."""
    if len(places) < _AGREEING:
        return None, 0
    map_, agree = cv2.estimateAffinePartial2D(
        places, others, method=cv2.RANSAC, ransacReprojThreshold=tolerance, maxIters=1000
    )
    if map_ is None:
        return None, 0
    scale = np.hypot(map_[0, 0], map_[1, 0])
    angle = np.degrees(np.arctan2(map_[1, 0], map_[0, 0]))
    is_plausible = _SCALES[0] < scale < _SCALES[1] and abs(angle) < _LARGEST_ANGLE
    return (np.asarray(map_, np.float64) if is_plausible else None), int(agree.sum())


def _overlap(map_: Array, test: Features, training: Features) -> float:
    """Share of the test image that lies within the training image, but for rotations."""
    first = map_[:, 2]
    last = map_ @ (test.width, test.height, 1)
    inner = np.minimum(last, (training.width, training.height)) - np.maximum(first, 0)
    return float(np.prod(np.maximum(inner, 0)) / np.prod(last - first))


def _compare(leak: Leak, plane: Plane, training: Plane, map_: Array) -> Leak:
    """What the pixels say of a map [2, 3] from a test image to a training image."""
    here, there = _overlay(plane, training, map_, leak.scale)
    is_whole = abs(leak.scale - 1) < 0.01
    exact = is_whole and _is_part(plane, training, round(leak.left), round(leak.top))
    return replace(leak, correlation=_correlate(here, there), exact=exact)


def _overlay(plane: Plane, training: Plane, map_: Array, scale: float) -> tuple[Array, Array]:
    """Gray values of both where both are, at the coarser of their resolutions."""
    if scale > 1:
        size = (max(1, round(training.shape[1] / scale)), max(1, round(training.shape[0] / scale)))
        training = np.asarray(cv2.resize(training, size, interpolation=cv2.INTER_AREA), np.uint8)
        map_ = map_ / scale
    size = (plane.shape[1], plane.shape[0])
    back = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(training, map_, size, flags=back)
    there = cv2.warpAffine(np.full_like(training, 255), map_, size, flags=back) == 255
    both = [np.asarray(one, np.float64) for one in (plane, warped)]
    if scale < 1:
        both = [np.asarray(cv2.GaussianBlur(one, (0, 0), 0.5 / scale)) for one in both]
    return both[0][there], both[1][there]


def _correlate(values: Array, others: Array) -> float:
    if len(values) < _LEAST_PIXELS or not values.std() or not others.std():
        return 0.0
    return float(np.corrcoef(values, others)[0, 1])


def _is_part(plane: Plane, training: Plane, left: int, top: int) -> bool:
    """Whether the pixels of a test image at whole offsets are equal, where both are.

    Gray made of color may be rounded otherwise, so one step is no difference.
    """
    height, width = plane.shape
    inner = training[max(0, top) : top + height, max(0, left) : left + width]
    own = plane[max(0, -top) :, max(0, -left) :][: inner.shape[0], : inner.shape[1]]
    return inner.size > 0 and int(np.abs(own.astype(int) - inner).max()) <= 1
