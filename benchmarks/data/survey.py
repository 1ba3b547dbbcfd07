"""Which images of each set are on this machine, and whether they are those of the papers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.data.datasets import Dataset, DatasetNotFound, find_dataset
from benchmarks.data.images import combine_digests
from benchmarks.data.manifest import MANIFEST, Split

State = Literal["complete", "partial", "wrong version", "absent"]


@dataclass(frozen=True)
class Report:
    """State of one split of a set.

    Attributes:
        name: name in the manifest.
        split: its split.
        state: what is there.
        images: number of images there.
        expected: number of images published.
        detail: what is wrong, or where to put what is absent.
        source: whose the images are.
    """

    name: str
    split: str
    state: State
    images: int
    expected: int
    detail: str
    source: str


def survey(on_image: Callable[[str], None] = lambda name: None) -> list[Report]:
    """Look for every split of the manifest and decode all of its images.

    Args:
        on_image: called with the set and name of each image before it is decoded.
    """
    return [
        survey_split(name, split, on_image) for name, splits in MANIFEST.items() for split in splits
    ]


def survey_split(
    name: str, split: str, on_image: Callable[[str], None] = lambda name: None
) -> Report:
    """Look for one split and decode all of its images."""
    entry = MANIFEST[name][split]
    try:
        dataset = find_dataset(name, split)
    except DatasetNotFound as error:
        return Report(name, split, "absent", 0, entry.count, str(error), entry.source)
    except ValueError as error:
        return Report(name, split, "wrong version", 0, entry.count, str(error), entry.source)
    state, detail = _inspect(dataset, entry, on_image)
    return Report(name, split, state, len(dataset), entry.count, detail, entry.source)


def _inspect(dataset: Dataset, entry: Split, on_image: Callable[[str], None]) -> tuple[State, str]:
    if len(dataset) in entry.impostors:
        return "wrong version", f"{len(dataset)} images: {entry.impostors[len(dataset)]}"
    if len(dataset) > entry.count:
        return "wrong version", f"{len(dataset)} images, {entry.count} belong to the set"
    sizes: Counter[tuple[int, ...]] = Counter()
    digests, unreadable = [], []
    for item in dataset:
        on_image(f"{dataset.name}/{item.name}")
        try:
            if dataset.pairs:
                dataset.read_pair(item.name)
            sizes[item.image.shape[:2]] += 1
            digests.append(f"{item.name}:{item.digest}")
        except (OSError, ValueError) as error:
            unreadable.append(str(error))
    strange = [size for size in sizes if entry.sizes and size not in entry.sizes]
    if strange:
        return "wrong version", (
            f"{sum(sizes[size] for size in strange)} images of other sizes, such as "
            f"{_name_size(strange[0])}; expected {', '.join(map(_name_size, entry.sizes))}"
        )
    if unreadable:
        return "partial", f"{len(unreadable)} unusable, such as: {unreadable[0]}"
    if len(dataset) < entry.count:
        return "partial", f"{entry.count - len(dataset)} more belong into {dataset.folder}"
    if not entry.digest:
        return "complete", "counted only: the digest of the published pixels is not known"
    if combine_digests(digests) != entry.digest:
        return "wrong version", (
            f"the pixels or names differ from the published ones (digest "
            f"{combine_digests(digests)[:12]}, expected {entry.digest[:12]})"
        )
    return "complete", f"digest {entry.digest[:12]}"


def _name_size(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))
