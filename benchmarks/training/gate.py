"""What is in the way of a training: images that show images of test sets."""

from __future__ import annotations

import json

from benchmarks.data.features import OnImage
from benchmarks.data.leaks import Leak, find_copies, find_leaks
from benchmarks.data.sought import list_sought
from benchmarks.training.data import open_datasets, split_images
from benchmarks.training.recipes import Recipe


def describe_leaks(recipe: Recipe, on_image: OnImage) -> str:
    """Which images that a recipe trains on or holds out show test images, and the way out.

    Images that are equal are looked for first; where there are any, nothing else is.

    Args:
        recipe: the recipe.
        on_image: called with the set and name of each image before it is looked at.

    Returns:
        A line per leak, or nothing where there is none.

    Raises:
        ValueError: as `split_images`.
    """
    used = {
        path for part in split_images(recipe) for dataset in part for path in dataset.paths.values()
    }
    datasets, tests = open_datasets(recipe), list_sought()
    for find in (find_copies, find_leaks):
        leaks = [
            leak
            for dataset in datasets
            for leak in find(dataset, tests, on_image)
            if dataset.paths[leak.stem] in used
        ]
        if leaks:
            return _describe(recipe, leaks, len(used))
    return ""


def _describe(recipe: Recipe, leaks: list[Leak], images: int) -> str:
    """Of a set that is a test set by another name, three lines and no way out but another set."""
    first = f"recipe {recipe.name} uses images that show test images:"
    stems = {leak.stem for leak in leaks}
    if len(stems) == images:
        more = [f"and {len(leaks) - 3} more"] if len(leaks) > 3 else []
        shown = [*map(str, leaks[:3]), *more]
        return "\n".join([first, *shown, "those are all of its images; name others"])
    left_out = json.dumps(sorted({*recipe.exclude, *stems}), ensure_ascii=False)
    way_out = f"leave them out, by this line of the recipe: exclude: {left_out}"
    return "\n".join([first, *map(str, leaks), way_out])
