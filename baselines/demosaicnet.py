"""The network of "Deep Joint Demosaicking and Denoising" (Gharbi et al., 2016)."""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain, pairwise

import torch
from torch import Tensor, nn

from baselines.demosaicking import sample_mosaic
from baselines.pretrained import WheelWeights
from baselines.registry import register
from kgt.contract import UNKNOWN
from kgt.network.windows import check_image

BAYER_WEIGHTS = WheelWeights(
    package="demosaicnet",
    version="0.0.14",
    license="MIT",
    member="demosaicnet/data/bayer.pth",
    sha256="a90f45c34b89fea3faf49060687839a7d191d302f597a302b31d1bbc021ff7d8",
)


@register("demosaicnet", weights=BAYER_WEIGHTS)
class DemosaicNet(nn.Module):
    """The released network for Bayer patterns.

    Its features are half filters, half masks that multiply them. It
    was trained on the GRBG pattern and without padding, so it loses 31 pixels at each border.
    The input is therefore mirrored by as many. Mirrored without the border pixel, every sample
    stays at a position of its color, and 31 columns to the left turn RGGB into GRBG; the rows,
    whose order must stay, get 32 at the top. The result has the size of the input.
    """

    scale = 1
    in_channels = 3
    task = "demosaic"
    size_multiple = 2
    provenance = UNKNOWN
    margin = 31

    def __init__(self) -> None:
        super().__init__()
        widths = [4, *[64] * 14, 128]
        convolutions = (
            ((f"conv{i}", nn.Conv2d(width, out_width, 3)), (f"relu{i}", nn.ReLU(inplace=True)))
            for i, (width, out_width) in enumerate(pairwise(widths), start=1)
        )
        self.main_processor = nn.Sequential(
            OrderedDict([("pack_mosaic", nn.Conv2d(3, 4, 2, stride=2)), *chain(*convolutions)])
        )
        self.residual_predictor = nn.Conv2d(64, 12, 1)
        self.upsampler = nn.ConvTranspose2d(12, 3, 2, stride=2, groups=3)
        self.fullres_processor = nn.Sequential(
            OrderedDict(
                post_conv=nn.Conv2d(6, 64, 3),
                post_relu=nn.ReLU(inplace=True),
                output=nn.Conv2d(64, 3, 1),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Demosaic [B, 3, h, w] in [0, 1].

        Raises:
            ValueError: for an input that is no finite image batch of 3 channels, 2x2 or larger.
        """
        check_image(x, self.in_channels, min_size=2)
        height, width = x.shape[-2:]
        top, left = self.margin + 1, self.margin
        rows = _mirror(height, top, self.margin + (height + 1) % 2, x.device)
        columns = _mirror(width, left, self.margin + width % 2, x.device)
        mosaic = sample_mosaic(x)[..., rows[:, None], columns]
        filters, masks = self.main_processor(mosaic).chunk(2, dim=1)
        residual = self.upsampler(self.residual_predictor(filters * masks))
        lost = (mosaic.shape[-1] - residual.shape[-1]) // 2
        inner = mosaic[..., lost:-lost, lost:-lost]
        y = self.fullres_processor(torch.cat([inner, residual], dim=1))
        return y[..., top - self.margin :, :][..., :height, :width]


def _mirror(length: int, before: int, after: int, device: torch.device) -> Tensor:
    """Indices that extend an axis of 2 or more samples by its mirror, however often it takes."""
    period = 2 * (length - 1)
    indices = torch.arange(-before, length + after, device=device) % period
    return torch.minimum(indices, period - indices)
