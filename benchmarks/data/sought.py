"""The images of test sets, here or absent, as they are looked for among training images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from benchmarks.data.datasets import Dataset, find_dataset
from benchmarks.data.features import Features, OnImage, find_features, read_shipped
from benchmarks.data.images import Image, read_image
from benchmarks.data.manifest import GENERATED, MANIFEST


@dataclass(frozen=True)
class Sought:
    """A test image that is looked for.

    Attributes:
        name: its set and name.
        features: of it.
        read: gives its pixels, uint8 [H, W] or [H, W, 3]; None where it is absent.
    """

    name: str
    features: Features
    read: Callable[[], Image] | None = None


@dataclass(frozen=True)
class SoughtSet:
    """Images of a test set.

    Attributes:
        name: of the set.
        digest: of what is known of the images: files, or features.
        open: gives them; takes a function that is called with the set and name of each image
            before it is decoded.
        dataset: the set, where it is here.
    """

    name: str
    digest: str
    open: Callable[[OnImage], Iterable[Sought]]
    dataset: Dataset | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> SoughtSet:
        """The images of a set that is here."""

        def read(on_image: OnImage) -> Iterator[Sought]:
            for stem, features in find_features(dataset, on_image).items():
                name = f"{dataset.name}/{stem}"
                yield Sought(name, features, partial(read_image, dataset.paths[stem]))

        return cls(dataset.name, dataset.file_digest, read, dataset)

    @classmethod
    def absent(cls, name: str, features: dict[str, Features]) -> SoughtSet:
        """Images that are not here, by their stems."""
        found = [Sought(f"{name}/{stem}", one) for stem, one in features.items()]
        digest = hashlib.sha256()
        for one in found:
            digest.update(one.name.encode() + one.features.descriptors.tobytes())
        return cls(name, digest.hexdigest(), lambda on_image: found)


def list_sought() -> list[SoughtSet]:
    """The images of all test sets: those that are here, and those whose features we have.

    Sets of the same files count once; those that are generated show nothing to look for.
    """
    sets: dict[str, SoughtSet] = {}
    splits = [(name, split) for name, entry in MANIFEST.items() for split in entry]
    for name, split in splits:
        if split == "train" or name in GENERATED:
            continue
        here: Dataset | None = None
        # Two files that share a stem, for one, make a set as good as absent.
        with suppress(ValueError):
            here = find_dataset(name, split)
            sets.setdefault(here.file_digest, SoughtSet.of(here))
        shipped = read_shipped().get((name, split))
        absent = {
            stem: features
            for stem, features in (shipped.features.items() if shipped else ())
            if here is None or stem not in here.paths
        }
        if absent:
            sets[f"{name}/{split}"] = SoughtSet.absent(name, absent)
    return list(sets.values())
