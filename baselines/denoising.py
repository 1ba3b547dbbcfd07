"""Classical denoisers, from scikit-image and, where it is installed, the package bm3d.

Those libraries are imported where they are used: they take longer to load than all the rest.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.classical import ImageFilter
from baselines.registry import register
from kgt.fields import convert

Image = NDArray[np.float64]


class Denoiser(ImageFilter):
    """A denoiser that takes or estimates the level of white Gaussian noise.

    Args:
        sigma: standard deviation of the noise, for values in 0..255; None to estimate it from each
            image by the median of its finest wavelet coefficients (Donoho and Johnstone 1994).
        in_channels: image channels.

    Raises:
        ValueError: when sigma is outside 0..255.
    """

    task = "denoise"

    def __init__(self, sigma: float | None = None, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        self.sigma: float | None = convert("sigma", sigma, sigma)

    def filter(self, image: Image) -> NDArray[Any]:
        """Denoise one image, float64 [h, w, C]."""
        from skimage.restoration import estimate_sigma

        if self.sigma is None:
            level = estimate_sigma(image, average_sigmas=True, channel_axis=-1)
        else:
            level = self.sigma / 255
        return self.denoise(image, level) if level > 0 else image

    def denoise(self, image: Image, level: float) -> NDArray[Any]:
        """Denoise [h, w, C]; the level is the noise's positive standard deviation, as in [0, 1]."""
        raise NotImplementedError


@register("nl-means", sigma=None, in_channels=3)
class NonLocalMeans(Denoiser):
    """Non-local means (Buades et al. 2005; fast variant of Froment 2014).

    Patches of 5x5 within 13x13, and h = 0.6 sigma: the values of scikit-image's documentation for
    its fast variant with known noise.
    """

    def denoise(self, image: Image, level: float) -> NDArray[Any]:
        """Denoise [h, w, C] with noise of a level."""
        from skimage.restoration import denoise_nl_means

        denoised = denoise_nl_means(
            image, patch_size=5, patch_distance=6, h=0.6 * level, sigma=level, channel_axis=-1
        )
        return denoised.reshape(image.shape)  # it drops axes of length 1


@register("wavelet", sigma=None, in_channels=3)
class Wavelet(Denoiser):
    """Soft thresholding of wavelet coefficients (BayesShrink, Chang et al. 2000).

    Color images are thresholded in YCbCr, as scikit-image advises.
    """

    def denoise(self, image: Image, level: float) -> NDArray[Any]:
        """Denoise [h, w, C] with noise of a level."""
        from skimage.restoration import denoise_wavelet

        return denoise_wavelet(
            image, sigma=level, channel_axis=-1, convert2ycbcr=self.in_channels == 3
        )


@register("tv", sigma=None, in_channels=3)
class TotalVariation(Denoiser):
    """Total variation (Chambolle 2004), its weight the level of the noise."""

    def denoise(self, image: Image, level: float) -> NDArray[Any]:
        """Denoise [h, w, C] with noise of a level."""
        from skimage.restoration import denoise_tv_chambolle

        return denoise_tv_chambolle(image, weight=level, channel_axis=-1)


@register("bm3d", sigma=None, in_channels=3)
class BM3D(Denoiser):
    """Block matching and 3-D filtering (Dabov et al. 2007), by its authors' package.

    The package's license allows non-commercial use alone, so it is not installed with this one.

    Raises:
        ValueError: when the package bm3d is not installed, or the image has neither 1 nor 3
            channels.
    """

    def __init__(self, sigma: float | None = None, in_channels: int = 3) -> None:
        super().__init__(sigma, in_channels)
        if in_channels not in (1, 3):
            raise ValueError(f"in_channels is {in_channels}; BM3D denoises 1 or 3 channels")
        try:
            self._library = importlib.import_module("bm3d")
        except ImportError as error:
            raise ValueError(
                "bm3d needs the package bm3d, whose license allows non-commercial use alone; "
                "if yours is, install it with: pip install bm3d"
            ) from error

    def denoise(self, image: Image, level: float) -> NDArray[Any]:
        """Denoise [h, w, C] with noise of a level."""
        if self.in_channels == 3:
            return self._library.bm3d_rgb(image, level)
        return self._library.bm3d(image[..., 0], level)[..., None]
