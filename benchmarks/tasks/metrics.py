"""Image-quality metrics in the exact variants that the protocols name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

PEAK = 255.0
SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
BLOCK = 8


@dataclass(frozen=True)
class Metric:
    """A rule that compares a prediction with its target.

    Attributes:
        name: its exact variant, as protocols print it.
        label: what tables call it; variants of one metric share it.
        better: which values are better.
        score: value of a prediction and its target, [H, W, C] or [H, W] each, in 0..255.
        unit: such as "dB"; empty for a plain number.
        digits: decimals that tables print.
        unavailable: why it cannot be computed on this machine; empty if it can.
    """

    name: str
    label: str
    better: Literal["higher", "lower"]
    score: Callable[[Array, Array], float]
    unit: str = ""
    digits: int = 4
    unavailable: Callable[[], str] = str

    def __call__(self, prediction: Array, target: Array) -> float:
        """The score."""
        return self.score(prediction, target)

    @property
    def key(self) -> str:
        """Its name in records: psnr_b of PSNR-B."""
        return self.label.lower().replace("-", "_")


@partial(Metric, "psnr", "PSNR", "higher", unit="dB", digits=2)
def psnr(prediction: Array, target: Array) -> float:
    """Peak signal-to-noise ratio in dB with a peak of 255; infinite for identical images.

    Args:
        prediction: [H, W] or [H, W, C], values in 0..255.
        target: same shape.

    Raises:
        ValueError: shapes differ, an image is empty, or a value is not finite.
    """
    from skimage.metrics import peak_signal_noise_ratio  # takes seconds to import

    _check_pair(prediction, target)
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(target, prediction, data_range=PEAK))


@partial(Metric, "psnr-of-patches", "PSNR", "higher", unit="dB", digits=2)
def psnr_of_patches(prediction: Array, target: Array) -> float:
    """PSNR over the blocks of 8x8 pixels that are not flat in the target.

    Args:
        prediction: [H, W] or [H, W, C], values in 0..255.
        target: same shape; what is left of it beside whole blocks does not count.

    Raises:
        ValueError: as for `psnr`, or all blocks are flat.
    """
    _check_pair(prediction, target)
    blocks = [_cut_blocks(image) for image in (prediction, target)]
    textured = np.ptp(blocks[1], axis=(1, 2)).max(axis=-1) > 0
    return float(psnr(*(cut[textured] for cut in blocks)))


@partial(Metric, "ssim-valid", "SSIM", "higher")
def ssim_valid(prediction: Array, target: Array) -> float:
    """Structural similarity (Wang et al. 2004) as MATLAB's ssim_index computes it.

    The window is an 11x11 Gaussian of sigma 1.5; only positions where it lies inside the image
    count ("valid"). K1 = 0.01, K2 = 0.03. Channels are averaged.

    Args:
        prediction: [H, W] or [H, W, C], values in 0..255.
        target: same shape.

    Raises:
        ValueError: as for `psnr`, or a side is below 11 pixels.
    """
    from skimage.metrics import structural_similarity  # takes seconds to import

    _check_pair(prediction, target)
    height, width = target.shape[:2]
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, got {height}x{width}; "
            "use a larger image or a smaller border crop"
        )
    # scikit-image leaves out a border of half its window, here exactly the invalid positions.
    return float(
        structural_similarity(
            target.astype(np.float64),
            prediction.astype(np.float64),
            data_range=PEAK,
            gaussian_weights=True,
            sigma=SSIM_SIGMA,
            use_sample_covariance=False,
            channel_axis=-1 if target.ndim == 3 else None,
        )
    )


@partial(Metric, "ssim-same-zero", "SSIM", "higher")
def ssim_same_zero(prediction: Array, target: Array) -> float:
    """Structural similarity as GRL (Li et al. 2023) and BasicSR's PyTorch ancestors compute it.

    The window of `ssim_valid`, but at every position of the image, with zeros read outside of it.
    The frame of zeros is equal in both images, so this reads higher. Channels are averaged.

    Args:
        prediction: [H, W] or [H, W, C], values in 0..255.
        target: same shape.

    Raises:
        ValueError: as for `psnr`.
    """
    _check_pair(prediction, target)

    def average(image: Array) -> Array:
        return cv2.GaussianBlur(
            image, (SSIM_WINDOW, SSIM_WINDOW), SSIM_SIGMA, borderType=cv2.BORDER_CONSTANT
        )

    return _mean_ssim(prediction.astype(np.float64), target.astype(np.float64), average)


@partial(Metric, "ssim-3d", "SSIM", "higher")
def ssim_3d(prediction: Array, target: Array) -> float:
    """Structural similarity of RGB as one volume: what MATLAB's `ssim` makes of a color image.

    The Gaussian of sigma 1.5 is 11x11x11, reaches across the channels, and reads the nearest pixel
    outside of the image. The deblurring papers report it (evaluation script of MPRNet, Zamir et
    al. 2021).

    Args:
        prediction: [H, W, C], values in 0..255.
        target: same shape.

    Raises:
        ValueError: as for `psnr`, or the images have no channels.
    """
    from scipy.ndimage import gaussian_filter

    _check_pair(prediction, target)
    if target.ndim != 3:
        raise ValueError(f"ssim-3d needs color images [H, W, C], got shape {target.shape}")

    def average(image: Array) -> Array:
        return gaussian_filter(image, SSIM_SIGMA, mode="nearest", radius=SSIM_WINDOW // 2)

    return _mean_ssim(prediction.astype(np.float64), target.astype(np.float64), average)


@partial(Metric, "psnr-b", "PSNR-B", "higher", unit="dB", digits=2)
def psnr_b(prediction: Array, target: Array) -> float:
    """PSNR that counts the seams of 8x8 blocks as errors (Yim and Bovik 2011).

    The blocking effect factor of the prediction is added to the squared error, and the values of
    the channels are averaged. Where sides are no multiples of 8, pairs across seams are counted as
    in the scripts of FBCNN (Jiang et al. 2021) and GRL, whose tables this serves.

    Args:
        prediction: [H, W] or [H, W, C], values in 0..255.
        target: same shape.

    Returns:
        Decibels; infinite for identical images without seams.

    Raises:
        ValueError: as for `psnr`, or a side is below two blocks.
    """
    _check_pair(prediction, target)
    height, width = target.shape[:2]
    if min(height, width) < 2 * BLOCK:
        raise ValueError(
            f"PSNR-B needs at least {2 * BLOCK}x{2 * BLOCK} pixels, got {height}x{width}; "
            "use a larger image"
        )
    values = []
    for channel in range(np.atleast_3d(target).shape[2]):
        x = np.atleast_3d(prediction)[..., channel].astype(np.float64)
        y = np.atleast_3d(target)[..., channel].astype(np.float64)
        error = float(((x - y) ** 2).mean()) + _blocking_effect(x)
        values.append(10 * math.log10(PEAK**2 / error) if error else math.inf)
    return math.fsum(values) / len(values)


def _blocking_effect(image: Array) -> float:
    """Blocking effect factor of [H, W]: how much seams differ more than other neighbors do."""
    seam_sum = other_sum = 0.0
    seam_count = other_count = 0
    for plane in (image, image.T):
        length, lines = plane.shape[1], plane.shape[0]
        squares = np.diff(plane, axis=1) ** 2
        seams = squares[:, BLOCK - 1 :: BLOCK].sum()
        seam_sum += float(seams)
        other_sum += float(squares.sum() - seams)
        seam_count += lines * (length // BLOCK - 1)
        other_count += lines * (length - 1) - lines * (length // BLOCK - 1)
    excess = seam_sum / seam_count - other_sum / other_count
    return max(0.0, excess) * math.log2(BLOCK) / math.log2(min(image.shape))


def _cut_blocks(image: Array) -> Array:
    """[H, W] or [H, W, C] in blocks [n, BLOCK, BLOCK, C]."""
    rows, columns = (side // BLOCK for side in image.shape[:2])
    planes = np.atleast_3d(image)[: rows * BLOCK, : columns * BLOCK]
    cut = planes.reshape(rows, BLOCK, columns, BLOCK, -1).swapaxes(1, 2)
    return cut.reshape(rows * columns, BLOCK, BLOCK, -1)


def _mean_ssim(x: Array, y: Array, average: Callable[[Array], Array]) -> float:
    """Mean of the SSIM map (Wang et al. 2004) under a local average."""
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_x, mean_y = average(x), average(y)
    variances = average(x * x) + average(y * y) - mean_x**2 - mean_y**2
    covariance = average(x * y) - mean_x * mean_y
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((numerator / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))).mean())


def _check_pair(prediction: Array, target: Array) -> None:
    if prediction.shape != target.shape:
        raise ValueError(f"prediction of shape {prediction.shape}, target of shape {target.shape}")
    if not target.size:
        raise ValueError(f"empty images of shape {target.shape}")
    for label, image in (("prediction", prediction), ("target", target)):
        if not np.isfinite(image).all():
            raise ValueError(
                f"the {label} has {np.sum(~np.isfinite(image))} NaN or infinite values"
            )
