"""Training of a named network by a recipe: same seed, same batches, same weights."""

from benchmarks.training.data import PatchSampler
from benchmarks.training.loop import (
    Listener,
    TrainingInterrupted,
    TrainingResult,
    run_folder,
    train,
)
from benchmarks.training.recipes import Recipe, list_recipes, load_recipe
from benchmarks.training.state import LossPoint, TrainingDiverged, ValidationPoint

__all__ = [
    "Listener",
    "LossPoint",
    "PatchSampler",
    "Recipe",
    "TrainingDiverged",
    "TrainingInterrupted",
    "TrainingResult",
    "ValidationPoint",
    "list_recipes",
    "load_recipe",
    "run_folder",
    "train",
]
