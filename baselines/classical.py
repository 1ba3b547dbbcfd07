"""Baselines without weights: the lower bounds of every table."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.imresize import imresize, round_to_uint8
from baselines.registry import register
from kgt.contract import UNKNOWN
from kgt.errors import quote
from kgt.network.windows import check_image


@register("identity", in_channels=3)
class Identity(nn.Module):
    """The degraded image itself, which restoration must at least beat."""

    scale = 1
    task = "restoration"
    size_multiple = 1
    provenance = UNKNOWN

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return the batch [B, C, h, w] unchanged.

        Raises:
            ValueError: for an input that is no finite image batch of C channels.
        """
        check_image(x, self.in_channels, min_size=1)
        return x


@register("bicubic", scale=4, in_channels=3)
class Bicubic(nn.Module):
    """MATLAB's bicubic upscaling of uint8 images, the first row of super-resolution tables.

    The input is rounded to 8 bits, for MATLAB resizes what it reads from the file; so there is
    no gradient.

    Raises:
        ValueError: when the scale is not a positive integer.
    """

    task = "sr"
    size_multiple = 1
    provenance = UNKNOWN

    def __init__(self, scale: int = 4, in_channels: int = 3) -> None:
        super().__init__()
        if not isinstance(scale, int) or scale < 1:
            raise ValueError(f"scale is {quote(scale)}; it must be a positive integer")
        self.scale = scale
        self.in_channels = in_channels

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Upscale [B, C, h, w] in [0, 1] to [B, C, scale * h, scale * w], in steps of 1/255.

        Raises:
            ValueError: for an input that is no finite image batch of C channels.
        """
        check_image(x, self.in_channels, min_size=1)
        batch, channels, height, width = x.shape
        planes = round_to_uint8(x * 255).flatten(0, 1).permute(1, 2, 0)
        resized = torch.from_numpy(imresize(planes.cpu().numpy(), self.scale)).permute(2, 0, 1)
        size = (batch, channels, self.scale * height, self.scale * width)
        return resized.reshape(size).to(x) / 255


class ImageFilter(nn.Module):
    """A classical method that restores one image at a time in numpy, at scale 1.

    Subclasses say their `task` and implement `filter`.
    """

    scale = 1
    size_multiple = 1
    provenance = UNKNOWN
    min_size = 1
    task: str

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Restore each image of [B, C, h, w], nominally in [0, 1], without gradients.

        Raises:
            ValueError: for an input that is no finite image batch of C channels.
        """
        check_image(x, self.in_channels, self.min_size)
        images = x.double().permute(0, 2, 3, 1).cpu().numpy()
        restored = np.stack([self.filter(image) for image in images])
        return torch.from_numpy(restored).permute(0, 3, 1, 2).to(x)

    def filter(self, image: NDArray[np.float64]) -> NDArray[Any]:
        """Restore one image, float64 [h, w, C], to the same size."""
        raise NotImplementedError
