"""Blind deconvolution: the camera shake of a photograph, estimated from it and undone.

The shake is taken to be the same everywhere, as of a distant scene, and to blur light, not the
values of a file. Sharp images have few edges. So edges are predicted by smoothing that keeps only
the strong ones (the L0 gradient prior of Xu, Zheng and Jia 2013, "Unnatural L0 Sparse
Representation for Natural Image Deblurring"), the kernel is the one that turns them into those of
the photograph (least squares, as in Cho and Lee 2009, "Fast Motion Deblurring"), and both are
repeated from coarse to fine. With the kernel known, a Wiener filter gives the image.

Where strong edges are few, as in fur or sky, the kernel can be wrong, and the result rings and is
worse than the photograph; one that is sharp already comes out too sharp. A network that sees both
can decide.

Axis letters: B batch, C channels, h and w the image's height and width, n = 2 * RADIUS + 1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

RADIUS = 9
"""Farthest displacement in pixels that an estimated shake may have."""
LARGEST = 512
"""Side in pixels of the middle part of an image that a shake is estimated from."""

_SCALES = (0.35, 0.6, 1.0)
_ROUNDS = 5
# Weight of an edge against misfit, at first and from round to round, and of one that costs nothing.
_EDGE_COST, _EDGE_COST_DECAY = 2e-3, 1.3
_COUPLING_GROWTH, _COUPLING_LIMIT = 2.0, 1e3
_STRONG_EDGES = 0.1  # fraction of the pixels that the kernel is fitted to
_KERNEL_RIDGE = 2e-3  # relative to the energy of the edges
_KERNEL_FLOOR = 0.1  # relative to the largest weight; what is below is noise
_KERNEL_PIXELS = 40  # a shake is a path, not a cloud: weaker weights than that many are noise, too
_TAPER = 16
_MIRROR = 24
# Noise over signal of the Wiener filter: at the finest frequencies, and what remains at zero.
_NOISE, _NOISE_FLOOR = 0.02, 0.1


@torch.no_grad()
def append_undone(image: Tensor) -> Tensor:
    """Estimate the shake of each image, and append the image without it.

    Args:
        image: [B, C, h, w], sRGB-encoded: floating-point in [0, 1], or uint8.

    Returns:
        [B, 2 * C, h, w] of the same kind: the image, and what `deconvolve` makes of it, in steps of
        1/255.
    """
    # One image after the other: the estimate decides, and a batch is rounded otherwise.
    kernel = torch.cat([estimate_shake(one) for one in image.split(1)])
    both = torch.cat([image, image], dim=1)
    before, after = both.chunk(2, dim=1)
    # One channel after the other, for transforms take ten times its bytes.
    for plane, undone in zip(before.split(1, dim=1), after.split(1, dim=1), strict=True):
        steps = deconvolve(plane, kernel).mul_(255).round_()
        undone.copy_(steps if image.dtype == torch.uint8 else steps / 255)
    return both


@torch.no_grad()
def estimate_shake(image: Tensor) -> Tensor:
    """Share of the exposure that each image spends at each displacement.

    Args:
        image: [B, C, h, w], sRGB-encoded: floating-point in [0, 1], or uint8.

    Returns:
        [B, n, n] of the image's device, float32 or as precise as the image; not negative, of sum 1.
        A single 1 in the middle where there are no edges.
    """
    top, left = (max(side - LARGEST, 0) // 2 for side in image.shape[-2:])
    part = _decode(image[..., top : top + LARGEST, left : left + LARGEST]).mean(1)
    side = 2 * math.ceil(RADIUS * _SCALES[0]) + 1
    kernel = part.new_zeros(len(part), side, side)
    # Two pixels: a single one would be its own solution, the photograph as it is.
    kernel[:, side // 2, side // 2 : side // 2 + 2] = 0.5
    for scale in _SCALES:
        kernel = _refine(_resize(part, scale), _enlarge(kernel, math.ceil(RADIUS * scale)))
    return kernel


@torch.no_grad()
def deconvolve(image: Tensor, kernel: Tensor) -> Tensor:
    """Undo a known blur by a Wiener filter for images with strong low and weak high frequencies.

    Args:
        image: [B, C, h, w], sRGB-encoded: floating-point in [0, 1], or uint8.
        kernel: [B, n, n] of sum 1; its centroid, not its middle, stays where it is.

    Returns:
        [B, C, h, w] in [0, 1], float32 or as precise as the image.
    """
    height, width = image.shape[-2:]
    light = _decode(image)
    rows, columns = (_mirrored(side, image.device) for side in (height, width))
    padded = light[..., rows[:, None], columns]
    size = padded.shape[-2:]
    vertical, horizontal = _frequencies(size, light)
    offsets = torch.arange(kernel.shape[-1], device=image.device) - kernel.shape[-1] // 2
    down, right = ((kernel.sum(axis) * offsets).sum(-1) for axis in (-1, -2))
    shift = vertical * down[:, None, None] + horizontal * right[:, None, None]
    response = _transfer(kernel, size) * torch.polar(torch.ones_like(shift), 2 * math.pi * shift)
    fineness = torch.sin(math.pi * vertical) ** 2 + torch.sin(math.pi * horizontal) ** 2
    inverse = response.conj() / (response.abs() ** 2 + _NOISE * (fineness + _NOISE_FLOOR))
    inverse = inverse * (1 + _NOISE * _NOISE_FLOOR)  # brightness stays
    restored = torch.fft.irfft2(torch.fft.rfft2(padded) * inverse[:, None], size)
    restored = restored[..., _MIRROR : _MIRROR + height, _MIRROR : _MIRROR + width]
    return _encode(restored)


def _refine(light: Tensor, kernel: Tensor) -> Tensor:
    """Improve a kernel [B, n, n] at the resolution of the photograph's light [B, h, w]."""
    blurred = _taper(light)
    observed = _gradients(blurred)
    cost = _EDGE_COST
    for _ in range(_ROUNDS):
        edges = _strongest(_predict_edges(blurred, kernel, cost))
        kernel = _fit_kernel(edges, observed, kernel.shape[-1] // 2)
        cost /= _EDGE_COST_DECAY
    return kernel


def _predict_edges(blurred: Tensor, kernel: Tensor, cost: float) -> Tensor:
    """Gradients [2, B, h, w] of the image with the fewest edges that explains the blurred one.

    Half-quadratic splitting: gradients too weak for their cost are set to zero, the image follows
    them, and is bound to them more and more tightly.
    """
    size = blurred.shape[-2:]
    response = _transfer(kernel, size)
    explained = response.conj() * torch.fft.rfft2(blurred)
    power = response.abs() ** 2
    vertical, horizontal = _frequencies(size, blurred)
    laplacian = 4 * (torch.sin(math.pi * vertical) ** 2 + torch.sin(math.pi * horizontal) ** 2)
    image, coupling = blurred, 2 * cost
    while coupling < _COUPLING_LIMIT:
        across, along = _gradients(image)
        kept = across**2 + along**2 >= cost / coupling
        across, along = across * kept, along * kept
        divergence = across.roll(1, -1) - across + along.roll(1, -2) - along
        spectrum = explained + coupling * torch.fft.rfft2(divergence)
        image = torch.fft.irfft2(spectrum / (power + coupling * laplacian), size)
        coupling *= _COUPLING_GROWTH
    return _gradients(image)


def _strongest(edges: Tensor) -> Tensor:
    """Gradients [2, B, h, w] with all but the strongest set to zero."""
    strength = edges.square().sum(0)
    flat = strength.flatten(1)
    rank = math.ceil(flat.shape[1] * (1 - _STRONG_EDGES))
    limit = flat.kthvalue(rank, dim=1).values
    return edges * (strength >= limit[:, None, None])


def _fit_kernel(edges: Tensor, observed: Tensor, radius: int) -> Tensor:
    """The kernel that turns gradients [2, B, h, w] into those observed, by least squares."""
    size = edges.shape[-2:]
    spectrum = torch.fft.rfft2(edges)
    agreement = (spectrum.conj() * torch.fft.rfft2(observed)).sum(0)
    correlation = torch.fft.irfft2(spectrum.abs().square().sum(0), size)
    offsets = torch.arange(-radius, radius + 1, device=edges.device)
    down, right = (axis.flatten() for axis in torch.meshgrid(offsets, offsets, indexing="ij"))
    energy = correlation[:, 0, 0].clamp(min=torch.finfo(edges.dtype).tiny)
    matrix = correlation[:, down[:, None] - down, right[:, None] - right] / energy[:, None, None]
    wanted = torch.fft.irfft2(agreement, size)[:, down, right] / energy[:, None]
    ridge = _KERNEL_RIDGE * torch.eye(len(down), dtype=torch.float64, device=edges.device)
    # Where there is NaN in the image, it is to be in the kernel, too, for the network to refuse it.
    factor, _ = torch.linalg.cholesky_ex(matrix.double() + ridge)
    kernel = torch.cholesky_solve(wanted[..., None].double(), factor)[..., 0].to(edges.dtype)
    kernel = kernel.clamp(min=0)
    largest = kernel.topk(min(_KERNEL_PIXELS, len(down)), dim=-1).values
    floor = torch.maximum(_KERNEL_FLOOR * largest[:, :1], largest[:, -1:])
    kernel = kernel * (kernel >= floor)
    empty = kernel.sum(-1) == 0
    kernel[empty, len(down) // 2] = 1  # without an edge, none is seen to be blurred
    kernel = (kernel / kernel.sum(-1, keepdim=True)).unflatten(-1, (2 * radius + 1,) * 2)
    return _recenter(kernel, offsets)


def _recenter(kernel: Tensor, offsets: Tensor) -> Tensor:
    """Roll kernels [B, n, n] until the centroid is in the middle, for edges give no position."""
    count = len(offsets)
    places = torch.arange(count, device=kernel.device)
    down, right = ((kernel.sum(axis) * offsets).sum(-1).round().long() for axis in (-1, -2))
    rows, columns = ((places + shift[:, None]) % count for shift in (down, right))
    batch = torch.arange(len(kernel), device=kernel.device)[:, None, None]
    return kernel[batch, rows[:, :, None], columns[:, None, :]]


def _enlarge(kernel: Tensor, radius: int) -> Tensor:
    size = (2 * radius + 1,) * 2
    kernel = F.interpolate(kernel[:, None], size=size, mode="bilinear")[:, 0]
    return kernel / kernel.sum((-1, -2), keepdim=True)


def _resize(light: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return light
    size = [max(1, round(scale * side)) for side in light.shape[-2:]]
    return F.interpolate(light[:, None], size=size, mode="bilinear", antialias=True)[:, 0]


def _taper(light: Tensor) -> Tensor:
    """Let [B, h, w] fade out at its borders, which the Fourier transform joins."""
    light = light - light.mean((-2, -1), keepdim=True)
    height, width = (_fast_length(side + 2 * _TAPER) for side in light.shape[-2:])
    right, bottom = width - light.shape[-1] - _TAPER, height - light.shape[-2] - _TAPER
    padded = F.pad(light[:, None], (_TAPER, right, _TAPER, bottom), mode="replicate")[:, 0]
    rows, columns = _fade(height, bottom, light), _fade(width, right, light)
    return padded * rows[:, None] * columns


def _fade(length: int, last: int, like: Tensor) -> Tensor:
    """Weights that rise over the first `_TAPER` of `length` pixels and fall over the last ones."""
    weights = like.new_ones(length)
    weights[:_TAPER] = _rise(_TAPER, like)
    weights[length - last :] = _rise(last, like).flip(0)
    return weights


def _rise(count: int, like: Tensor) -> Tensor:
    """From 0 to 1 over `count` pixels, as half a cosine does."""
    phase = (torch.arange(count, dtype=like.dtype, device=like.device) + 0.5) / count
    return 0.5 - 0.5 * (math.pi * phase).cos()


def _gradients(image: Tensor) -> Tensor:
    """Differences [2, B, h, w] to the next pixel to the right and below, around the borders."""
    return torch.stack([image.roll(-1, -1) - image, image.roll(-1, -2) - image])


def _transfer(kernel: Tensor, size: tuple[int, ...]) -> Tensor:
    """Transfer function [B, h, w // 2 + 1] of kernels [B, n, n] on images of a size."""
    radius = kernel.shape[-1] // 2
    height, width = size
    padded = F.pad(kernel, (0, width - kernel.shape[-1], 0, height - kernel.shape[-2]))
    return torch.fft.rfft2(padded.roll((-radius, -radius), (-2, -1)))


def _frequencies(size: tuple[int, ...], like: Tensor) -> tuple[Tensor, Tensor]:
    """Cycles per pixel of the transform of a real image: [h, 1] and [w // 2 + 1]."""
    kind = {"dtype": like.dtype, "device": like.device}
    return torch.fft.fftfreq(size[0], **kind)[:, None], torch.fft.rfftfreq(size[1], **kind)


def _mirrored(length: int, device: torch.device) -> Tensor:
    """Indices that extend an axis by its mirror, to a length that transforms fast."""
    period = max(2 * (length - 1), 1)
    indices = torch.arange(_fast_length(length + 2 * _MIRROR), device=device)
    indices = (indices - _MIRROR) % period
    return torch.minimum(indices, period - indices)


def _fast_length(length: int) -> int:
    """The next length of factors 2, 3 and 5; to transform a prime takes several times as long."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def _decode(image: Tensor) -> Tensor:
    """Light in [0, 1] of sRGB values, float32 or as precise as they are."""
    value = image.to(torch.promote_types(image.dtype, torch.float32)).clamp(min=0)
    value = (value / 255 if image.dtype == torch.uint8 else value).clamp(max=1)
    return torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _encode(light: Tensor) -> Tensor:
    """Values in sRGB of light, clipped to [0, 1]."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
