"""Classical deblurring: with a blur that is assumed, and with one that is estimated."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from baselines.classical import ImageFilter
from baselines.registry import register
from kgt.contract import UNKNOWN, Restorer
from kgt.network.deconvolution import append_undone
from kgt.network.windows import check_image


@register("wiener", blur=1.0, in_channels=3)
class Wiener(ImageFilter):
    """Wiener deconvolution that estimates noise and smoothness itself (Orieux et al. 2010).

    The method must be told the blur, and of a photograph it is not known. Here it is assumed to be
    Gaussian and the same everywhere. Where that is wrong, as in motion blur, the result can be
    worse than the input: the row shows what a filter does that does not know the blur, not what
    deconvolution can do.

    Args:
        blur: standard deviation of the assumed blur in pixels.
        in_channels: image channels, each restored by itself.

    Raises:
        ValueError: when the blur is not positive and finite.
    """

    task = "deblur"

    def __init__(self, blur: float = 1.0, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        if not 0 < blur < math.inf:
            raise ValueError(f"blur is {blur}; a standard deviation in pixels is above 0")
        self.blur = float(blur)

    def restore(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        """Deblur one image, float64 [h, w, C]."""
        from skimage.restoration import unsupervised_wiener

        kernel = _gaussian_kernel(self.blur)
        # The Fourier transform joins opposite borders; mirrored far enough, they do not ring.
        margin = 2 * len(kernel)
        padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
        channels = [
            # Its random samples are drawn from a fixed seed, so that equal images come out equal.
            unsupervised_wiener(channel, kernel, clip=False, rng=0)[0]
            for channel in np.moveaxis(padded, -1, 0)
        ]
        return np.stack(channels, axis=-1)[margin:-margin, margin:-margin]


@register("blind-deconvolution", in_channels=3)
class BlindDeconvolution(nn.Module):
    """The camera shake of each image, estimated and undone (`kgt.network.deconvolution`).

    It is what the small networks for deblurring see beside their input, so it is what they have to
    beat.

    Args:
        in_channels: image channels.
    """

    task = "deblur"
    scale = 1
    size_multiple = 1
    provenance = UNKNOWN

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        self.in_channels = in_channels

    @property
    def body(self) -> Restorer:
        """Itself, which takes what `prepare` returns, too."""
        return self

    def prepare(self, image: Tensor) -> Tensor:
        """Append the result to the whole image, before tiles are cut from it."""
        whole = image.ndim == 4 and image.shape[1] == self.in_channels
        return append_undone(image) if whole else image

    def forward(self, x: Tensor) -> Tensor:
        """Restore [B, C, h, w] in [0, 1], or prepared.

        Raises:
            ValueError: for an input that is no finite image batch of C channels.
        """
        prepared = x.ndim == 4 and x.shape[1] == 2 * self.in_channels
        check_image(x, self.in_channels * (1 + prepared), min_size=1)
        return self.prepare(x)[:, self.in_channels :]


def _gaussian_kernel(sigma: float) -> NDArray[np.float64]:
    """Normalized Gaussian, cut at four standard deviations."""
    radius = math.ceil(4 * sigma)
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.outer(line, line) / line.sum() ** 2
