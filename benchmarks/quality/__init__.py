"""From data to degradation to metric, under named protocols."""

from benchmarks.data.datasets import Dataset, DatasetNotFound, Item, list_datasets, load_dataset
from benchmarks.quality.comparison import Gain, paired_gain
from benchmarks.quality.evaluation import Evaluation, ImageFailed, evaluate
from benchmarks.quality.tile_effect import TileEffect, compare_tiling
from benchmarks.quality.tiling import Tiling
from benchmarks.tasks.protocols import Protocol, get_protocol, list_protocols
from benchmarks.tasks.task import Pair, Task, get_task, list_tasks

__all__ = [
    "Dataset",
    "DatasetNotFound",
    "Evaluation",
    "Gain",
    "ImageFailed",
    "Item",
    "Pair",
    "Protocol",
    "Task",
    "TileEffect",
    "Tiling",
    "compare_tiling",
    "evaluate",
    "get_protocol",
    "get_task",
    "list_datasets",
    "list_protocols",
    "list_tasks",
    "load_dataset",
    "paired_gain",
]
