"""SMFANet, a small convolutional network (Zheng, Sun, Dong, Pan: SMFANet, ECCV 2024).

Equations are those of the paper. Parameters carry the names of the authors' release, so that their
weights fit.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.pretrained import LinkedWeights
from baselines.registry import register
from kgt.contract import UNKNOWN
from kgt.network.windows import check_image

# The non-local branch looks at the image at this fraction of its size.
_POOLED = 8


class SMFANet(nn.Module):
    """Convolution, blocks of self-modulation and feed-forward convolution, pixel shuffle.

    Args:
        scale: output size over input size.
        width: channels of every block.
        blocks: how many.
        in_channels: image channels.
    """

    task = "sr"
    size_multiple = _POOLED
    provenance = UNKNOWN

    def __init__(self, scale: int, width: int, blocks: int, in_channels: int = 3) -> None:
        super().__init__()
        self.scale = scale
        self.in_channels = in_channels
        self.to_feat = nn.Conv2d(in_channels, width, 3, padding=1)
        self.feats = nn.Sequential(*(_Block(width) for _ in range(blocks)))
        self.to_img = nn.Sequential(
            nn.Conv2d(width, in_channels * scale**2, 3, padding=1), nn.PixelShuffle(scale)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge [B, C, h, w] in [0, 1] to [B, C, scale * h, scale * w].

        The variance and the pooling see the whole image, so a part of it is restored a little
        otherwise than within the whole.

        Raises:
            ValueError: for an input that is no finite image batch of C channels and 8x8 pixels.
        """
        check_image(x, self.in_channels, min_size=_POOLED)
        features = self.to_feat(x)
        restored: Tensor = self.to_img(self.feats(features) + features)
        return restored


class _Block(nn.Module):
    """Both parts see their input normalized over its channels, and add to it (Eq. 8)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.smfa = _SelfModulation(width)
        self.pcfn = _PartialFeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.smfa(F.normalize(x))
        return x + self.pcfn(F.normalize(x))


class _SelfModulation(nn.Module):
    """Self-modulation feature aggregation: a non-local and a local branch (Eqs. 1 to 6)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_0 = nn.Conv2d(width, 2 * width, 1)
        self.linear_1 = nn.Conv2d(width, width, 1)
        self.linear_2 = nn.Conv2d(width, width, 1)
        self.lde = _LocalDetail(width)
        self.dw_conv = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.alpha = nn.Parameter(torch.ones(1, width, 1, 1))
        self.belt = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        local, structure = self.linear_0(x).chunk(2, dim=1)
        height, width = x.shape[-2:]
        pooled = F.adaptive_max_pool2d(structure, (height // _POOLED, width // _POOLED))
        spread = structure.var(dim=(-2, -1), keepdim=True)
        gate = self.linear_1(self.dw_conv(pooled) * self.alpha + spread * self.belt)
        modulated = structure * F.interpolate(F.gelu(gate), size=(height, width))
        mixed: Tensor = self.linear_2(modulated + self.lde(local))
        return mixed


class _LocalDetail(nn.Module):
    """Local detail estimation, twice as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 2 * width
        self.conv_0 = nn.Sequential(
            nn.Conv2d(width, hidden, 3, padding=1, groups=width), nn.Conv2d(hidden, hidden, 1)
        )
        self.conv_1 = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        detail: Tensor = self.conv_1(F.gelu(self.conv_0(x)))
        return detail


class _PartialFeedForward(nn.Module):
    """Feed-forward layer in which a quarter of the channels sees its neighbors (Eq. 7)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 2 * width
        self._split = (hidden // 4, hidden - hidden // 4)
        self.conv_0 = nn.Conv2d(width, hidden, 1)
        self.conv_1 = nn.Conv2d(self._split[0], self._split[0], 3, padding=1)
        self.conv_2 = nn.Conv2d(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        part, rest = F.gelu(self.conv_0(x)).split(self._split, dim=1)
        mixed: Tensor = self.conv_2(torch.cat([F.gelu(self.conv_1(part)), rest], dim=1))
        return mixed


_ADDRESS = (
    "https://raw.githubusercontent.com/Zheng-MJ/SMFANet/a05e0bb554bbbb80cd27d8fd2b78d4228c657170/"
    "pretrain/{}_DF2K_100w_x{}SR.pth"
)
_SMALL = {
    2: "daea7fc72a6e4aff80163768209ea5e56fd9705db9e6323f31822f24cd03902e",
    3: "ae9953d36b4afb25211a23b02499dc029dfe64a2549c3426b29aaca14f17baa1",
    4: "3141324e9ef6ebdd2338566b30ad034a3bf0c3c34e8030d4086ce4330c319402",
}
_LARGE = {
    2: "a52ba55ccec8f08cc2c354fdccfe0f7647ea70cc5a47a096b70269370a4f5c5c",
    3: "509c2af8855e9424d5676956ff5f5911c4e6439c53064e7a4cdbe062ddf2a8d4",
    4: "28a807e1ee1f46a990458efd813654ea0ba023148a8423e49847d9b5c4f98ca3",
}
for _name, _file, _digests, _width, _blocks in (
    ("smfanet", "SMFANet", _SMALL, 36, 8),
    ("smfanet-plus", "SMFANet_plus", _LARGE, 48, 12),
):
    for _scale, _digest in _digests.items():
        register(
            f"{_name}-x{_scale}",
            weights=LinkedWeights("Apache-2.0", _digest, _ADDRESS.format(_file, _scale)),
            scale=_scale,
            width=_width,
            blocks=_blocks,
            in_channels=3,
        )(SMFANet)
