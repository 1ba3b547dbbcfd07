"""HAT (arXiv 2205.04437) from the code its authors published, with random weights."""

from __future__ import annotations

from baselines.published.network import describe
from baselines.registry import register
from kgt.contract import Restorer


@register(
    "hat-x4",
    scale=4,
    in_channels=3,
    embed_dim=180,
    depths=(6,) * 6,
    num_heads=6,
    window_size=16,
    mlp_ratio=2.0,
)
def build(
    *,
    scale: int,
    in_channels: int,
    embed_dim: int,
    depths: tuple[int, ...],
    num_heads: int,
    window_size: int,
    mlp_ratio: float,
) -> Restorer:
    """Build the authors' module.

    Args:
        scale: output size over input size.
        in_channels: image channels.
        embed_dim: C, the width of every layer.
        depths: blocks per group.
        num_heads: heads of every block.
        window_size: M in pixels.
        mlp_ratio: hidden width over C.
    """
    from spandrel.architectures.HAT import HAT

    network = HAT(
        img_size=64,
        in_chans=in_channels,
        embed_dim=embed_dim,
        depths=list(depths),
        num_heads=[num_heads] * len(depths),
        window_size=window_size,
        compress_ratio=3,
        squeeze_factor=30,
        overlap_ratio=0.5,
        mlp_ratio=mlp_ratio,
        upscale=scale,
    )
    return describe(network, in_channels, window_size, scale)
