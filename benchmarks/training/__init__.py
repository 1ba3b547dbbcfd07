"""Training of a named network by a recipe: same seed, same batches, same weights."""

from benchmarks.training.data import PatchSampler
from benchmarks.training.loop import LossPoint, TrainingResult, train
from benchmarks.training.recipes import Recipe, list_recipes, load_recipe

__all__ = [
    "LossPoint",
    "PatchSampler",
    "Recipe",
    "TrainingResult",
    "list_recipes",
    "load_recipe",
    "train",
]
