"""Models scored on image sets under named protocols."""

from benchmarks.quality.comparison import Gain, paired_gain
from benchmarks.quality.evaluation import Evaluation, ImageFailed, evaluate
from benchmarks.quality.tile_effect import TileEffect, compare_tiling
from benchmarks.quality.tiling import Tiling

__all__ = [
    "Evaluation",
    "Gain",
    "ImageFailed",
    "TileEffect",
    "Tiling",
    "compare_tiling",
    "evaluate",
    "paired_gain",
]
