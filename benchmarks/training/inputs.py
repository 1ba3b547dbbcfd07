"""Whole images as networks that deconvolve see them in training."""

from __future__ import annotations

import torch

from benchmarks.data.images import Image
from benchmarks.tasks.deblurring import blur_exposure, shake_kernel
from benchmarks.tasks.task import Generator, Input
from kgt.network.deconvolution import append_undone


def shake_whole(target: Image, rng: Generator) -> Input:
    """An image [H, W, C] after a shake, as a network that deconvolves sees it: [H, W, 2 * C]."""
    blurred = blur_exposure(target, shake_kernel(rng, min(target.shape[:2])))
    planes = torch.from_numpy(blurred).permute(2, 0, 1)[None]
    return append_undone(planes)[0].permute(1, 2, 0).contiguous().numpy()
