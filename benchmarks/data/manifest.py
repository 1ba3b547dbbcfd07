"""The image sets that the papers use: what belongs to them, where they lie, whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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


def _clean(name: str, count: int, **fields: Any) -> dict[str, Split]:
    """A test set of clean images in the folder of its name."""
    return {"test": Split(name, count, alternatives=(f"{name}/HR",), **fields)}


def _super_resolution(name: str, count: int, **fields: Any) -> dict[str, Split]:
    """A test set whose clean images lie in HR, beside LR_bicubic."""
    return {"test": Split(f"{name}/HR", count, alternatives=(name,), **fields)}


def _paired(name: str, count: int, task: str, **fields: Any) -> dict[str, Split]:
    """A test set of degraded and clean images."""
    return {"test": Split(name, count, pairs=task, alternatives=(f"{name}/test",), **fields)}


_BSDS500 = {
    split: Split(
        f"BSDS500/{split}", count, sizes=_LANDSCAPE_AND_PORTRAIT, digest=digest, source=_BSDS
    )
    for split, count, digest in (
        ("test", 200, "852f619378b6adf963d53aa027ab7870f2a23e101c1a62a90416abbf1dd3c648"),
        ("val", 100, "fed11a19fdc46aad6bf69e2163d2f0a4b92a3d9c76f9ae58cb5eb7a44efb89a4"),
        ("train", 200, "5c7d52a2d90c6f2df638797062a0ac8052493c6faa6e97a06aaebd4a5ed8832d"),
    )
}

MANIFEST: dict[str, dict[str, Split]] = {
    "embedded": {
        "test": Split(
            data_dir,
            len(_EMBEDDED_TEST),
            _EMBEDDED_TEST,
            digest="5d92e5d3536aab5891b9cec38f189aa99cfb3bd2135654d451281cf1ba97a24c",
            source=_SCIKIT_IMAGE,
        ),
        "train": Split(
            data_dir,
            len(_EMBEDDED_TRAIN),
            _EMBEDDED_TRAIN,
            digest="baf4f32e15b8e08c98143bf0c52401024eadba11af150cfb794f1bcf2351dc98",
            source=_SCIKIT_IMAGE,
        ),
    },
    "Set5": _super_resolution(
        "Set5",
        5,
        digest="e649535b62496a04aaaa837a392160401a6d8cfb17c089a5207830cc1992d843",
        source="Bevilacqua et al. 2012",
    ),
    "Set14": _super_resolution("Set14", 14, source="Zeyde et al. 2010"),
    "BSD100": _super_resolution("BSD100", 100, sizes=_LANDSCAPE_AND_PORTRAIT, source=_BSDS),
    "Urban100": _super_resolution("Urban100", 100, source="Huang et al. 2015"),
    "Manga109": _super_resolution(
        "Manga109", 109, source="Matsui et al. 2017, on request, academic use; authors' copyright"
    ),
    "Set12": _clean(
        "Set12",
        12,
        sizes=((256, 256), (512, 512)),
        digest="19d923794a037e4859c06bf78c26e98ce2b6a2e8764603a4b988a5dac6b719b9",
        source="Zhang et al. 2017",
    ),
    "BSD68": _clean(
        "BSD68",
        68,
        sizes=_LANDSCAPE_AND_PORTRAIT,
        digest="46987e6229688764f2c53fc0c23ce95368a1c2f14de1d696e9bb3f064d50a897",
        source=_BSDS,
    ),
    "CBSD68": _clean(
        "CBSD68",
        68,
        sizes=_LANDSCAPE_AND_PORTRAIT,
        digest="8229f6182e73a3764bc622c7a94d61393913d5689aea409b9d6e0a0d2ecd2995",
        source=_BSDS,
    ),
    "McMaster": _clean(
        "McMaster",
        18,
        sizes=((500, 500),),
        digest="c60a52c0ad2c39ae0370d6dc88dfdcecb0723157085ac9bf0c79ba5be4df05ff",
        source="Zhang et al. 2011",
    ),
    "Kodak24": _clean(
        "Kodak24",
        24,
        sizes=((512, 768), (768, 512)),
        source="Kodak Photo CD PCD0992, released for unrestricted use",
    ),
    "Classic5": _clean(
        "Classic5",
        5,
        sizes=((512, 512),),
        digest="4c73b63ede87c40fa62a525f3f3feeefd4e31a71398fff938150a707ff94132c",
        source="Foi et al. 2007",
    ),
    "LIVE1": _clean(
        "LIVE1",
        29,
        digest="839c66511396310db3889000909d0eccd0e3f41c548c898d63f675a4fcbc9ead",
        source="Sheikh et al. 2006, research use with citation",
    ),
    "BSDS500": _BSDS500,
    # The half of its test material that no table uses: for tasks whose own sets are not free.
    "BSDS500-val": {"test": _BSDS500["val"]},
    "UHD": _clean(
        "UHD",
        3,
        digest="e09a558f78e1c324a2256ba0a3bda04da191678c4e136d35c3ec89bf64598442",
        source="photographs of A. Mudgal, A. Berasategi (CC-BY-4.0) and C. Engelhardt (CC0)",
    ),
    "GoPro": {
        **_paired("GoPro", 1111, "deblur", sizes=((720, 1280),), source="Nah et al. 2017"),
        "train": Split("GoPro/train", 2103, pairs="deblur", source="Nah et al. 2017"),
    },
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
    "RainDrop": {
        **_paired(
            "RainDrop",
            58,
            "weather-raindrop",
            impostors={249: "test_b; the tables use test_a"},
            source="Qian et al. 2018, test_a",
        ),
        "train": Split(
            "RainDrop/train",
            1069,
            pairs="weather-raindrop",
            source="Qian et al. 2018, as chosen by TransWeather",
        ),
    },
    "Outdoor-Rain": {
        "train": Split(
            "Outdoor-Rain/train",
            9000,
            pairs="weather-rain",
            source="Li et al. 2019, as chosen by TransWeather",
        )
    },
    "Snow100K": {
        "train": Split(
            "Snow100K/train",
            9000,
            pairs="weather-snow",
            source="Liu et al. 2018, as chosen by TransWeather",
        )
    },
    "DIV2K": {
        "train": Split("DIV2K/train", 800, alternatives=("DIV2K/HR",), source="Agustsson 2017")
    },
    "Flickr2K": {
        "train": Split("Flickr2K", 2650, alternatives=("Flickr2K/HR",), source="Lim et al. 2017")
    },
    "BSD400": {"train": Split("BSD400", 400, source=_BSDS)},
    "WED": {"train": Split("WED", 4744, alternatives=("WED/HR",), source="Ma et al. 2017")},
}
