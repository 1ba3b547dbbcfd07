"""Which images of each set are on this machine, and whether they are those of the papers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

from benchmarks.data.datasets import Dataset, DatasetNotFound, find_dataset
from benchmarks.data.features import write_shipped
from benchmarks.data.images import combine_digests
from benchmarks.data.leaks import find_leaks
from benchmarks.data.manifest import GENERATED, MANIFEST, Split, find_whole
from benchmarks.data.sought import list_sought

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
        leaks: of a set for training, which of its images show images of test sets.
        twins: other sets that hold all of its images, and are not known to.
    """

    name: str
    split: str
    state: State
    images: int
    expected: int
    detail: str
    source: str
    leaks: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()


def survey(on_image: Callable[[str], None] = lambda name: None) -> list[Report]:
    """Look for every split of the manifest, decode all of its images, and look for them elsewhere.

    Args:
        on_image: called with the set and name of each image before it is decoded.
    """
    splits = [(name, split) for name, splits in MANIFEST.items() for split in splits]
    reports = [survey_split(*names, on_image) for names in splits]
    here = {
        report: find_dataset(report.name, report.split)
        for report in reports
        if report.state in ("complete", "partial")
    }
    tests, twins = list_sought(), _find_twins(list(here.values()))
    for number, report in enumerate(reports):
        if report in here:
            is_trained_on = report.split == "train"
            leaks = find_leaks(here[report], tests, on_image) if is_trained_on else []
            own = twins[report.name, report.split]
            reports[number] = replace(report, leaks=tuple(map(str, leaks)), twins=tuple(own))
    return reports


def write_features(on_image: Callable[[str], None] = lambda name: None) -> list[tuple[str, int]]:
    """Put the features of the test sets that are here beside the manifest; others' stay.

    Left out are sets that come with a package or are generated, and whose images another one holds.

    Args:
        on_image: called with the set and name of each image before it is decoded.

    Returns:
        Set and split, and the number of its images, of each.
    """
    chosen: dict[str, Dataset] = {}
    for name, splits in MANIFEST.items():
        for split, entry in splits.items():
            whole = find_whole(name, split)
            is_own = Path(entry.folder).is_absolute() or name in GENERATED
            is_public = split != "train" and not is_own
            if not is_public or entry.part_of or whole in chosen:
                continue
            if survey_split(name, split, on_image).state in ("complete", "partial"):
                chosen[whole] = find_dataset(name, split)
    write_shipped(chosen.values(), on_image)
    return [(f"{one.name}/{one.split}", len(one)) for one in chosen.values()]


def _find_twins(datasets: list[Dataset]) -> dict[tuple[str, str], list[str]]:
    """Sets, by name and split, whose images are all in others under other names, and in which."""
    twins: dict[tuple[str, str], list[str]] = {(one.name, one.split): [] for one in datasets}
    digests = [set(dataset.pixel_digests.values()) for dataset in datasets]
    wholes = [find_whole(one.name, one.split) for one in datasets]
    for pair in combinations(range(len(datasets)), 2):
        inner, outer = sorted(pair, key=lambda number: len(digests[number]))
        is_inside = digests[inner] and digests[inner] <= digests[outer]
        if is_inside and wholes[inner] != wholes[outer]:
            one, other = datasets[inner], datasets[outer]
            twins[one.name, one.split].append(
                f"all {len(one)} images of {one.name}/{one.split} are also in "
                f"{other.name}/{other.split}, pixel by pixel"
            )
    return twins


def survey_split(
    name: str, split: str, on_image: Callable[[str], None] = lambda name: None
) -> Report:
    """Look for one split and decode all of its images."""
    entry = MANIFEST[name][split]
    try:
        dataset = find_dataset(name, split)
    except DatasetNotFound as error:
        return Report(name, split, "absent", 0, entry.count or 0, str(error), entry.source)
    except ValueError as error:
        return Report(name, split, "wrong version", 0, entry.count or 0, str(error), entry.source)
    state, detail = _inspect(dataset, entry, on_image)
    return Report(name, split, state, len(dataset), dataset.expected, detail, entry.source)


def find_fault(dataset: Dataset) -> str:
    """In what a set is not the published one, in one sentence; empty where it is, and of one's own.

    Images are compared where the digest of the published ones is known; otherwise they are counted.
    """
    if dataset.split == "own":
        return ""
    entry = MANIFEST[dataset.name][dataset.split]
    if not entry.digest:
        missing = dataset.expected - len(dataset)
        detail = f"{missing} more belong into {dataset.folder}" if missing else ""
    elif _is_published(dataset, entry):
        detail = ""
    else:
        state, detail = _inspect(dataset, entry, lambda name: None)
        detail = "" if state == "complete" else detail
    return f"{dataset.name} is not the published set: {detail}" if detail else ""


def _is_published(dataset: Dataset, entry: Split) -> bool:
    try:
        return dataset.digest == entry.digest
    except (OSError, ValueError):  # `_inspect` says which image it is
        return False


def _inspect(dataset: Dataset, entry: Split, on_image: Callable[[str], None]) -> tuple[State, str]:
    if len(dataset) in entry.impostors:
        return "wrong version", f"{len(dataset)} images: {entry.impostors[len(dataset)]}"
    if len(dataset) > dataset.expected:
        return "wrong version", f"{len(dataset)} images, {dataset.expected} belong to the set"
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
    if len(dataset) < dataset.expected:
        return "partial", f"{dataset.expected - len(dataset)} more belong into {dataset.folder}"
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
