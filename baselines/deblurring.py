"""Classical deblurring with a blur that is assumed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from baselines.classical import ImageFilter
from baselines.registry import register


@register("wiener", blur=1.0, in_channels=3)
class Wiener(ImageFilter):
    """Wiener deconvolution that estimates noise and smoothness itself (Orieux et al. 2010).

    The method needs the blur, which is not known of a photograph. Here it is assumed to be
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

    def filter(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
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


def _gaussian_kernel(sigma: float) -> NDArray[np.float64]:
    """Normalized Gaussian, cut at four standard deviations."""
    radius = math.ceil(4 * sigma)
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.outer(line, line) / line.sum() ** 2
