"""SCUNet (arXiv 2203.13278) from the code its authors published, with random weights.

A U shape whose blocks split their channels between a residual convolution and a Swin transformer.
Images of less than 40 pixels are too small for its padding.
"""

from __future__ import annotations

from baselines.published.network import describe
from baselines.registry import register
from kgt.contract import Restorer


@register("scunet-color", in_channels=3, width=64, depths=(4,) * 7)
def build(*, in_channels: int, width: int, depths: tuple[int, ...]) -> Restorer:
    """Build the authors' module.

    Args:
        in_channels: image channels.
        width: of the top level, doubled at each level down.
        depths: blocks of the four levels down and the three up.
    """
    from spandrel.architectures.SCUNet import SCUNet

    network = SCUNet(in_nc=in_channels, config=list(depths), dim=width)
    return describe(network, in_channels, 64, task="denoise")
