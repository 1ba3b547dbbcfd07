"""Super-resolution of images that MATLAB's bicubic filter reduced."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

from benchmarks.data.images import Image
from benchmarks.tasks.protocols import GRL, PERCEPTUAL, PSNR, SSIM, SSIM_SAME_ZERO, SWINIR, Protocol
from benchmarks.tasks.task import Degradation, Level, Task


def downscale(target: Image, name: str, *, scale: int) -> Image:
    """MATLAB's bicubic reduction of [H, W, ...] to [H / scale, W / scale, ...]."""
    # Imported here: baselines load torch.
    from baselines.imresize import imresize

    return imresize(target, Fraction(1, scale))


_PROTOCOLS = (
    Protocol("sr-y601-crop-scale", "y601-studio-float", (PSNR, SSIM), SWINIR, border="scale"),
    Protocol(
        name="sr-y601-crop-scale-ssim-same-zero",
        color="y601-studio-float",
        columns=(PSNR, SSIM_SAME_ZERO),
        source=GRL,
        border="scale",
    ),
    Protocol("sr-rgb-crop-scale", "rgb", (PSNR, SSIM), SWINIR, border="scale"),
    PERCEPTUAL,
)

TASKS = tuple(
    Task(
        family="sr",
        level=Level("scale", "x", scale),
        channels=3,
        degradations={"imresize": Degradation("imresize", 1, partial(downscale, scale=scale))},
        protocols=_PROTOCOLS,
        reference="bicubic",
        test_sets=("Set5", "Set14", "BSD100", "Urban100", "BSDS500"),
    )
    for scale in (2, 3, 4)
)
