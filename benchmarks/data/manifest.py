"""The image sets that the papers use: what belongs to them, where they lie, whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from importlib.util import find_spec
from pathlib import Path

import yaml
from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Split:
    """One split of a set as it was published.

    Attributes:
        folder: folder of the images, relative to the data root unless absolute.
        count: number of images.
        stems: file stems that make up the split; empty for every image of the folder.
        pairs: task whose degraded images the set ships, in `input` beside `target` within the
            folder; empty for sets of clean images.
        alternatives: other folders where the images may lie.
        sizes: the sizes (height, width) that occur; empty where they vary too much to list.
        digest: `Dataset.digest` of the complete split, empty where it has not been computed.
        impostors: what a copy of another number of images is known to be.
        source: whose the images are, and their license as far as it is known.
    """

    folder: str
    count: int
    stems: tuple[str, ...] = ()
    pairs: str = ""
    alternatives: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    digest: str = ""
    impostors: Mapping[int, str] = field(default_factory=dict)
    source: str = ""


def _read_manifest() -> dict[str, dict[str, Split]]:
    # Found, not imported, which would take a second.
    spec = find_spec("skimage")
    images = Path(str(spec.origin)).parent / "data" if spec else ""
    text = Path(__file__).with_name("manifest.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text.replace("{scikit-image}", str(images)))
    return TypeAdapter(dict[str, dict[str, Split]]).validate_python(content)


MANIFEST = _read_manifest()
