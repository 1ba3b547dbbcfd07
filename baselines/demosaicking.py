"""Classical demosaicking: the color image of a sensor that sees one color per pixel.

The input of every demosaicking model is a color image whose samples at the positions of an RGGB
Bayer pattern (red at row 0, column 0) are the sensor's; what else it holds, such as an
interpolation, is not looked at.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.classical import ImageFilter
from baselines.registry import register
from kgt.network.windows import check_image
from kgt.pictures.mosaic import interpolate_malvar


def sample_mosaic(x: Tensor) -> Tensor:
    """Keep the sensor's samples of [B, 3, h, w] under an RGGB pattern; all others become zero."""
    mosaic = torch.zeros_like(x)
    for channel, row, column in ((0, 0, 0), (1, 0, 1), (1, 1, 0), (2, 1, 1)):
        mosaic[:, channel, row::2, column::2] = x[:, channel, row::2, column::2]
    return mosaic


def _load_library() -> Any:
    """colour-demosaicing, which takes seconds to load and changes how numpy prints numbers."""
    with np.printoptions():
        return importlib.import_module("colour_demosaicing")


class _ClassicalDemosaicker(ImageFilter):
    task = "demosaic"
    min_size = 2

    def __init__(self) -> None:
        super().__init__(in_channels=3)

    def forward(self, x: Tensor) -> Tensor:
        """Interpolate each mosaic of [B, 3, h, w] in [0, 1], clipped to [0, 1]."""
        check_image(x, self.in_channels, self.min_size)
        return super().forward(sample_mosaic(x)).clamp(0, 1)


@register("malvar")
class Malvar(_ClassicalDemosaicker):
    """Linear 5x5 interpolation (Malvar, He, Cutler, ICASSP 2004), MATLAB's `demosaic`."""

    def filter(self, image: NDArray[np.float64]) -> NDArray[Any]:
        """Interpolate one mosaic, float64 [h, w, 3]."""
        return interpolate_malvar(torch.from_numpy(image.sum(-1))).permute(1, 2, 0).numpy()


@register("menon")
class Menon(_ClassicalDemosaicker):
    """Directional filtering with a posteriori decision (Menon et al., TIP 2007)."""

    def filter(self, image: NDArray[np.float64]) -> NDArray[Any]:
        """Interpolate one mosaic, float64 [h, w, 3]."""
        return _load_library().demosaicing_CFA_Bayer_Menon2007(image.sum(-1), "RGGB")
