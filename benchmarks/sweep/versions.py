"""What all jobs of a sweep must have in common, by digests: the code, and the images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import baselines
import benchmarks
import kgt
from benchmarks.data.datasets import Dataset, DatasetNotFound, find_dataset
from benchmarks.data.images import combine_digests
from benchmarks.records.cell import Cell, QualityCell, TrainingCell
from benchmarks.training.data import open_datasets
from benchmarks.training.recipes import load_recipe


def digest_versions(cells: Iterable[Cell]) -> str:
    """CODE-DATA: digests of all files of the three packages, and of the images that cells use.

    Images are known by their names and sizes in bytes; one that is absent changes the digest.
    """
    return f"{_digest_code()}-{_digest_data(cells)}"


def refuse_other_versions(planned: str, here: str) -> None:
    """Refuse to do a job of a sweep that was planned with other code or images.

    Raises:
        ValueError: naming the digests that differ.
    """
    code, _, data = here.partition("-")
    other_code, _, other_data = planned.partition("-")
    pairs = {"code": (code, other_code), "data": (data, other_data)}
    differing = [
        f"{name} {own} here, {other} there" for name, (own, other) in pairs.items() if own != other
    ]
    if differing:
        raise ValueError(
            f"this job is of a sweep with another version: {'; '.join(differing)}; give all "
            "machines the same checkout and the same images, and start the sweep again"
        )


def _digest_code() -> str:
    digests = []
    for package in (kgt, baselines, benchmarks):
        folder = Path(package.__path__[0])
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                name = f"{folder.name}/{path.relative_to(folder)}"
                digests.append(f"{name}:{hashlib.sha256(path.read_bytes()).hexdigest()}")
    return combine_digests(digests)[:12]


def _digest_data(cells: Iterable[Cell]) -> str:
    tests = {cell.dataset for cell in cells if isinstance(cell, QualityCell)}
    trained = (cell for cell in cells if isinstance(cell, QualityCell | TrainingCell))
    recipes = {cell.recipe for cell in trained if cell.recipe}
    found: list[str] = []
    for name in sorted(tests):
        with suppress(DatasetNotFound):
            found += _list_files(find_dataset(name, "test"))
    for recipe in sorted(recipes):
        with suppress(DatasetNotFound):
            for dataset in open_datasets(load_recipe(recipe)):
                found += _list_files(dataset)
    return combine_digests(found)[:12]


def _list_files(dataset: Dataset) -> list[str]:
    paths = (*dataset.paths.values(), *dataset.inputs.values())
    return [
        f"{dataset.name}/{dataset.split}/{path.name}:{path.stat().st_size if path.exists() else 0}"
        for path in paths
    ]
