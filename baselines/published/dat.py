"""DAT (arXiv 2308.03364) from the code its authors published, with random weights.

Its batch normalization of pooled maps trains on two images or more.
"""

from __future__ import annotations

from baselines.published.network import describe
from baselines.registry import register
from kgt.contract import Restorer


@register(
    "dat-x4",
    scale=4,
    in_channels=3,
    embed_dim=180,
    depths=(6,) * 6,
    num_heads=6,
    split_size=(8, 32),
    mlp_ratio=4.0,
)
def build(
    *,
    scale: int,
    in_channels: int,
    embed_dim: int,
    depths: tuple[int, ...],
    num_heads: int,
    split_size: tuple[int, int],
    mlp_ratio: float,
) -> Restorer:
    """Build the authors' module.

    Args:
        scale: output size over input size.
        in_channels: image channels.
        embed_dim: C, the width of every layer.
        depths: blocks per group.
        num_heads: heads of every block.
        split_size: height and width of a window in pixels.
        mlp_ratio: hidden width over C.
    """
    from spandrel.architectures.DAT import DAT

    network = DAT(
        img_size=64,
        in_chans=in_channels,
        embed_dim=embed_dim,
        split_size=list(split_size),
        depth=list(depths),
        num_heads=[num_heads] * len(depths),
        expansion_factor=mlp_ratio,
        upscale=scale,
    )
    return describe(network, in_channels, max(split_size), scale)
