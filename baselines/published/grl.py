"""GRL (arXiv 2303.00748) from the code its authors published, with random weights."""

from __future__ import annotations

from baselines.published.network import describe
from baselines.registry import register
from kgt.contract import Restorer


@register(
    "grl-b-x4",
    scale=4,
    in_channels=3,
    embed_dim=180,
    depths=(4, 4, 8, 8, 8, 4, 4),
    num_heads=3,
    window_size=32,
    stripe_size=64,
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
    stripe_size: int,
    mlp_ratio: float,
) -> Restorer:
    """Build the authors' module.

    Args:
        scale: output size over input size.
        in_channels: image channels.
        embed_dim: C, the width of every layer.
        depths: blocks per group.
        num_heads: heads of the window attention and, again, of the anchored stripe attention.
        window_size: M in pixels.
        stripe_size: side of a stripe in pixels.
        mlp_ratio: hidden width over C.
    """
    from spandrel.architectures.GRL import GRL

    network = GRL(
        img_size=64,
        in_channels=in_channels,
        out_channels=in_channels,
        embed_dim=embed_dim,
        upscale=scale,
        upsampler="pixelshuffle",
        depths=list(depths),
        num_heads_window=[num_heads] * len(depths),
        num_heads_stripe=[num_heads] * len(depths),
        window_size=window_size,
        stripe_size=[stripe_size] * 2,
        stripe_shift=True,
        mlp_ratio=mlp_ratio,
        anchor_window_down_factor=4,
        local_connection=True,
    )
    return describe(network, in_channels, max(window_size, stripe_size), scale)
