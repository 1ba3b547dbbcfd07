"""Which source files a result depends on; at a change of one of them it is stale."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Literal

Subject = Literal["attention", "network", "cost", "restoration", "quality", "training"]

ROOT = Path(__file__).resolve().parents[2]

_NATIVE = tuple(f"kgt/attention/native/*.{suffix}" for suffix in ("py", "cpp", "h"))
_ATTENTION = ("kgt/attention/*.py", "kgt/attention/triton/*.py", *_NATIVE)


def _modules(folder: str, names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}.py" for name in names.split())


# What measures time and memory, and not what only checks, compiles or prints.
_MEASURES = (
    *_modules("benchmarks/measure", "attention memory problems sandbox timing"),
    "benchmarks/records/statistics.py",
    "kgt/tiles/memory.py",
)
# What a network's output, time and memory depend on, and not its command line.
_MODELS = (
    *_modules("kgt", "config zoo"),
    "kgt/network/*.py",
    *_ATTENTION,
    *_modules(
        "baselines",
        "__init__ checkpoints classical deblurring demosaicking denoising dense ffdnet imresize "
        "official pretrained published registry swinir",
    ),
)
_NETWORKS = (*_MODELS, "benchmarks/models.py", "benchmarks/measure/networks.py")
_TILES = ("kgt/tiles/*.py", "kgt/pictures/png.py")
_SCORES = ("benchmarks/quality/*.py", "benchmarks/tasks/*.py", "benchmarks/data/*.py")
_QUALITY = (*_MODELS, *_TILES, "benchmarks/models.py", *_SCORES)
# What shows in trained weights, and not the log, the curve or the card.
_TRAINING = _modules(
    "benchmarks/training",
    "data detection inputs loop losses processes recipes start state validation",
)

SOURCES: dict[Subject, tuple[str, ...]] = {
    "attention": (*_ATTENTION, *_MEASURES),
    "network": (*_NETWORKS, *_MEASURES),
    "cost": (*_NETWORKS, *_modules("benchmarks/measure", "cost counters closed_form")),
    "restoration": (
        *_NETWORKS,
        *_TILES,
        *_modules("benchmarks/measure", "restoration sandbox"),
        *_SCORES,
    ),
    "quality": _QUALITY,
    "training": (*_QUALITY, *_TRAINING),
}


@cache
def digest_sources(subject: Subject, *own: str) -> str:
    """Short hash of the sources of a subject and of what else a result depends on.

    Args:
        subject: an entry of `SOURCES`.
        own: what else makes the result stale by its change, as text.
    """
    sha = hashlib.sha256(" ".join(own).encode())
    for pattern in SOURCES[subject]:
        for path in sorted(ROOT.glob(pattern)):
            sha.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return sha.hexdigest()[:12]


def digest_shipped(model: str) -> list[str]:
    """Digests of the weights that ship with a network, none if it has none."""
    return [
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(ROOT.glob(f"*/weights/{model}.safetensors"))
    ]
