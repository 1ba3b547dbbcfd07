"""NAFNet (arXiv 2204.04676) from the code its authors published, with random weights.

A U shape of convolutions with gates in the place of activations.
"""

from __future__ import annotations

from baselines.published.network import describe
from baselines.registry import register
from kgt.contract import Restorer


# The width of 64 is that of the authors' network for the noise of phones (SIDD).
@register(
    "nafnet-64",
    in_channels=3,
    width=64,
    encoder=(2, 2, 4, 8),
    middle=12,
    decoder=(2, 2, 2, 2),
)
def build(
    *,
    in_channels: int,
    width: int,
    encoder: tuple[int, ...],
    middle: int,
    decoder: tuple[int, ...],
) -> Restorer:
    """Build the authors' module.

    Args:
        in_channels: image channels.
        width: of the top level, doubled at each level down.
        encoder: blocks per level down.
        middle: blocks between the levels down and those up.
        decoder: blocks per level up.
    """
    from spandrel.architectures.NAFNet import NAFNet

    network = NAFNet(
        img_channel=in_channels,
        width=width,
        middle_blk_num=middle,
        enc_blk_nums=list(encoder),
        dec_blk_nums=list(decoder),
    )
    return describe(network, in_channels, 2 ** len(encoder), task="denoise")
