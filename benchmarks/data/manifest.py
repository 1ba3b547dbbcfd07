"""What belongs to an image set, where it lies, whose it is: the papers' sets, and one's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields, replace
from importlib.util import find_spec
from pathlib import Path

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from benchmarks.data.twins import SPLITS, list_drawings
from benchmarks.records.reading import describe_faults, read_yaml


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Split:
    """One split of a set as it was published, or a set of one's own.

    Attributes:
        folder: folder of the images, relative to the data root unless absolute; of a set of one's
            own, relative to its description.
        name: name of a set of one's own; empty for that of its folder.
        count: number of images; None for as many as there are.
        stems: file stems that make up the split; empty for every image of the folder.
        pairs: task whose degraded images the set ships, in `input` beside `target` within the
            folder; empty for sets of clean images.
        input: folder of the degraded images of pairs, within `folder`.
        target: folder of the clean images of pairs, within `folder`.
        alternatives: other folders where the images may lie.
        same_as: test set that has the same images under another name.
        sizes: the sizes (height, width) that occur; empty where they vary too much to list.
        digest: `Dataset.digest` of the complete split, empty where it has not been computed.
        part_of: set and split, as in "BSDS500/val", that is known to hold these images and more, in
            color where these are gray; empty where there is none.
        impostors: what a copy of another number of images is known to be.
        source: whose the images are, and their license as far as it is known.
    """

    folder: str = "."
    count: int | None = None
    name: str = ""
    stems: tuple[str, ...] = ()
    pairs: str = ""
    input: str = "input"
    target: str = "target"
    alternatives: tuple[str, ...] = ()
    same_as: str = ""
    sizes: tuple[tuple[int, int], ...] = ()
    digest: str = ""
    part_of: str = ""
    impostors: Mapping[int, str] = field(default_factory=dict)
    source: str = ""


# Describes a folder of one's own, in which it lies.
DESCRIPTION = "dataset.yaml"


def describe_folder(folder: Path) -> Split:
    """What belongs to a folder of one's own: all of its images, unless a description says more.

    Raises:
        ValueError: naming the description, and what is wrong in it.
    """
    path = folder / DESCRIPTION
    content = read_yaml(path) if path.exists() else {}
    try:
        split = TypeAdapter(Split).validate_python(content)
    except ValidationError as error:
        valid = ", ".join(field.name for field in fields(Split))
        raise ValueError(f"{path}: {describe_faults(error, valid)}") from error
    name = split.name or folder.resolve().name
    return replace(split, name=name, folder=str((folder / split.folder).resolve()))


def _read_manifest() -> dict[str, dict[str, Split]]:
    # Found, not imported, which would take a second.
    spec = find_spec("skimage")
    images = Path(str(spec.origin)).parent / "data" if spec else ""
    text = Path(__file__).with_name("manifest.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text.replace("{scikit-image}", str(images)))
    return TypeAdapter(dict[str, dict[str, Split]]).validate_python(content)


def _list_generated() -> dict[str, dict[str, Split]]:
    return {
        name: {split: Split(count=len(list_drawings(name)), source="made here, of random numbers")}
        for name, split in SPLITS.items()
    }


MANIFEST = _read_manifest() | _list_generated()
# Sets that are made on this machine, and show nothing that any other set could show.
GENERATED = frozenset(SPLITS)


def find_whole(name: str, split: str) -> str:
    """The same for splits that are known to hold the same images, or a part of them."""
    entry = MANIFEST[name][split]
    if entry.part_of:
        name, split = entry.part_of.split("/")
        entry = MANIFEST[name][split]
    return entry.digest or f"{name}/{split}"
