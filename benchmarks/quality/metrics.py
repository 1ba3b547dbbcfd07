"""Image-quality metrics in the exact variants that the protocols name."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

Array = npt.NDArray[Any]

PEAK = 255.0
SSIM_WINDOW = 11


def luma_bt601(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Luma of ITU-R BT.601 in studio range (16 to 235), not rounded.

    Args:
        image: uint8 [H, W, 3] (RGB), or gray [H, W] or [H, W, 1], read as R = G = B.

    Returns:
        float64 [H, W].
    """
    rgb = np.broadcast_to(np.atleast_3d(image), (*image.shape[:2], 3))
    return rgb2ycbcr(rgb)[..., 0]


def psnr(prediction: Array, target: Array) -> float:
    """Peak signal-to-noise ratio in dB with a peak of 255; infinite for identical images.

    Args:
        prediction: [H, W] or [H, W, C], values in 0..255.
        target: Same shape.

    Raises:
        ValueError: Shapes differ, an image is empty, or a value is not finite.
    """
    _check_pair(prediction, target)
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(target, prediction, data_range=PEAK))


def ssim_valid(prediction: Array, target: Array) -> float:
    """Structural similarity (Wang et al. 2004) as MATLAB's ssim_index computes it.

    The window is an 11x11 Gaussian of sigma 1.5; only positions where it lies inside the image
    count ("valid"). K1 = 0.01, K2 = 0.03. Channels are averaged.

    Args:
        prediction: [H, W] or [H, W, C], values in 0..255.
        target: Same shape.

    Raises:
        ValueError: As for `psnr`, or a side is below 11 pixels.
    """
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
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=-1 if target.ndim == 3 else None,
        )
    )


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
