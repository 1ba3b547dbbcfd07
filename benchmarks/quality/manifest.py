"""The image sets that the papers use: what belongs to them, where they lie, whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skimage.data import data_dir


@dataclass(frozen=True)
class Split:
    """One split of a set as it was published.

    Attributes:
        folder: Folder of the images, relative to the data root unless absolute.
        count: Number of images.
        stems: File stems that make up the split; empty for every image of the folder.
        pairs: Task whose degraded images the set ships, in `input` beside `target` within the
            folder; empty for sets of clean images.
        alternatives: Other folders where the images may lie.
        sizes: The sizes (height, width) that occur; empty where they vary too much to list.
        digest: `Dataset.digest` of the complete split, empty where it has not been computed.
        impostors: What a copy of another number of images is known to be.
        source: Whose the images are, and their license as far as it is known.
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


# The images of the scikit-image wheel, less the synthetic and the deliberately blurred ones.
_EMBEDDED_TEST = ("astronaut", "camera", "chelsea", "coffee")
_EMBEDDED_TRAIN = (
    *("brick", "cell", "coins", "grass", "gravel", "hubble_deep_field", "ihc", "moon"),
    *("motorcycle_left", "motorcycle_right", "page", "retina", "rocket", "text"),
)
_SCIKIT_IMAGE = "scikit-image (BSD-3-Clause; its data README names the owners)"
_BSDS = "Berkeley Segmentation Dataset (Arbelaez et al. 2011), non-commercial research"
_LANDSCAPE_AND_PORTRAIT = ((321, 481), (481, 321))


def _clean(name: str, count: int, **fields: object) -> dict[str, Split]:
    """A test set of clean images in the folder of its name."""
    return {"test": Split(name, count, alternatives=(f"{name}/HR",), **fields)}  # type: ignore[arg-type]


def _super_resolution(name: str, count: int, **fields: object) -> dict[str, Split]:
    """A test set whose clean images lie in HR, beside LR_bicubic."""
    return {"test": Split(f"{name}/HR", count, alternatives=(name,), **fields)}  # type: ignore[arg-type]


def _paired(name: str, count: int, task: str, **fields: object) -> dict[str, Split]:
    """A test set of degraded and clean images."""
    return {"test": Split(name, count, pairs=task, alternatives=(f"{name}/test",), **fields)}  # type: ignore[arg-type]


MANIFEST: dict[str, dict[str, Split]] = {
    "embedded": {
        "test": Split(
            data_dir,
            len(_EMBEDDED_TEST),
            _EMBEDDED_TEST,
            digest="5d92e5d3536aab5891b9cec38f189aa99cfb3bd2135654d451281cf1ba97a24c",
            source=_SCIKIT_IMAGE,
        ),
        "train": Split(data_dir, len(_EMBEDDED_TRAIN), _EMBEDDED_TRAIN, source=_SCIKIT_IMAGE),
    },
    "Set5": _super_resolution("Set5", 5, source="Bevilacqua et al. 2012"),
    "Set14": _super_resolution("Set14", 14, source="Zeyde et al. 2010"),
    "BSD100": _super_resolution("BSD100", 100, sizes=_LANDSCAPE_AND_PORTRAIT, source=_BSDS),
    "Urban100": _super_resolution("Urban100", 100, source="Huang et al. 2015"),
    "Manga109": _super_resolution(
        "Manga109", 109, source="Matsui et al. 2017, on request, academic use; authors' copyright"
    ),
    "Set12": _clean("Set12", 12, sizes=((256, 256), (512, 512)), source="Zhang et al. 2017"),
    "BSD68": _clean("BSD68", 68, sizes=_LANDSCAPE_AND_PORTRAIT, source=_BSDS),
    "CBSD68": _clean("CBSD68", 68, sizes=_LANDSCAPE_AND_PORTRAIT, source=_BSDS),
    "McMaster": _clean("McMaster", 18, sizes=((500, 500),), source="Zhang et al. 2011"),
    "Kodak24": _clean(
        "Kodak24",
        24,
        sizes=((512, 768), (768, 512)),
        source="Kodak Photo CD PCD0992, released for unrestricted use",
    ),
    "Classic5": _clean("Classic5", 5, sizes=((512, 512),), source="Foi et al. 2007"),
    "LIVE1": _clean("LIVE1", 29, source="Sheikh et al. 2006, research use with citation"),
    "BSDS500": {
        split: Split(f"BSDS500/{split}", count, sizes=_LANDSCAPE_AND_PORTRAIT, source=_BSDS)
        for split, count in {"test": 200, "val": 100, "train": 200}.items()
    },
    "UHD": _clean(
        "UHD",
        3,
        source="photographs of A. Mudgal, A. Berasategi (CC-BY-4.0) and C. Engelhardt (CC0)",
    ),
    "GoPro": _paired("GoPro", 1111, "deblur", sizes=((720, 1280),), source="Nah et al. 2017"),
    "HIDE": _paired("HIDE", 2025, "deblur", sizes=((720, 1280),), source="Shen et al. 2019"),
    "Test1": _paired(
        "Test1", 750, "weather-rain", source="Outdoor-Rain, Li et al. 2019, academic use"
    ),
    "Snow100K-L": _paired(
        "Snow100K-L",
        16801,
        "weather-snow",
        impostors={16611: "an incomplete copy in circulation"},
        source="Liu et al. 2018",
    ),
    "RainDrop": _paired(
        "RainDrop",
        58,
        "weather-raindrop",
        impostors={249: "test_b; the tables use test_a"},
        source="Qian et al. 2018, test_a",
    ),
    "DIV2K": {
        "train": Split("DIV2K/train", 800, alternatives=("DIV2K/HR",), source="Agustsson 2017")
    },
    "Flickr2K": {
        "train": Split("Flickr2K", 2650, alternatives=("Flickr2K/HR",), source="Lim et al. 2017")
    },
    "WED": {"train": Split("WED", 4744, alternatives=("WED/HR",), source="Ma et al. 2017")},
}
