"""DnCNN (Zhang et al., "Beyond a Gaussian Denoiser", TIP 2017) with random weights.

Convolutions 3x3, batch normalization between them; the network predicts the noise.
"""

from __future__ import annotations

from baselines.published.network import describe
from baselines.registry import register
from kgt.contract import Restorer


# DnCNN-S for gray and CDnCNN-B for color images.
@register("dncnn-gray", in_channels=1, features=64, depth=17)
@register("dncnn-color", in_channels=3, features=64, depth=20)
def build(*, in_channels: int, features: int, depth: int) -> Restorer:
    """Build the authors' module.

    Args:
        in_channels: image channels.
        features: width.
        depth: number of convolutions.
    """
    from spandrel.architectures.DnCNN import DnCNN

    network = DnCNN(in_nc=in_channels, out_nc=in_channels, nc=features, nb=depth, act_mode="BR")
    return describe(network, in_channels, 1, task="denoise")
