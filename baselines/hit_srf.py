"""HiT-SRF, whose windows grow from layer to layer (Zhang, Zhang, Yu: HiT-SR, ECCV 2024).

Equations are those of the paper. Parameters carry the names of the authors' release, so that their
weights fit. Axis letters: B batch, C channels, H and W the map's height and width, M the side of a
window, N = M * M tokens, S the side of a pooled window, nW windows per map, d channels of a head.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.pretrained import LinkedWeights
from baselines.registry import register
from baselines.swinir import RGB_MEAN
from kgt.contract import UNKNOWN
from kgt.network.windows import check_image, merge_windows, pad_to_multiple, partition_windows

# Of a window as many pixels a side are compared with, each the mean of several.
_POOLED = 8


WEIGHTS = LinkedWeights(
    license="MIT",
    sha256="dffb47c5a7e1e28755cde32d9fa4c19f14e965d6c63491da39419bf3699ec456",
    address="https://raw.githubusercontent.com/Amazingren/NTIRE2025_ESR/"
    "b69fb668c0362deb696eecbfdebfaa5c2fcdfcb4/model_zoo/team54_HITSR.pth",
)


@register(
    "hit-srf-x4",
    weights=WEIGHTS,
    scale=4,
    width=60,
    heads=6,
    groups=4,
    windows=(4, 8, 16, 32, 48, 64),
)
class HiTSRF(nn.Module):
    """Convolution, residual groups of window layers, convolution, pixel shuffle.

    Args:
        scale: output size over input size.
        width: channels of every layer.
        heads: of the spatial correlation.
        groups: residual groups.
        windows: side of the window of each layer of a group, in pixels.
    """

    task = "sr"
    in_channels = 3
    provenance = UNKNOWN

    def __init__(
        self, scale: int, width: int, heads: int, groups: int, windows: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.scale = scale
        self.size_multiple = max(windows)
        self.conv_first = nn.Conv2d(self.in_channels, width, 3, padding=1)
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(width)})
        self.layers = nn.ModuleList(_Group(width, heads, windows) for _ in range(groups))
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = nn.Conv2d(width, width, 3, padding=1)
        self.upsample = nn.Sequential(
            nn.Conv2d(width, self.in_channels * scale**2, 3, padding=1), nn.PixelShuffle(scale)
        )
        self.register_buffer("_mean", torch.tensor(RGB_MEAN).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge [B, 3, h, w] in [0, 1] to [B, 3, scale * h, scale * w].

        Raises:
            ValueError: for an input that is no finite image batch of 3 channels and 2x2 pixels.
        """
        check_image(x, self.in_channels, min_size=2)
        mean = self.get_buffer("_mean").to(x.dtype)
        features = self.conv_first(x - mean)
        body = self.patch_embed["norm"](features.movedim(1, -1))
        for group in self.layers:
            body = group(body)
        body = self.conv_after_body(self.norm(body).movedim(-1, 1))
        restored: Tensor = self.upsample(body + features)
        return restored + mean


class _Group(nn.Module):
    """Layers, a convolution, and the input added."""

    def __init__(self, width: int, heads: int, windows: tuple[int, ...]) -> None:
        super().__init__()
        self.blocks = [_Layer(width, heads, window) for window in windows]
        self.residual_group = nn.ModuleDict({"blocks": nn.ModuleList(self.blocks)})
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Of a map [B, H, W, C]."""
        y = x
        for layer in self.blocks:
            y = layer(y)
        added: Tensor = self.conv(y.movedim(-1, 1)).movedim(1, -1)
        return x + added


class _Layer(nn.Module):
    """Correlation and feed-forward layer, each normalized before it is added."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.correlation = _Correlation(width, heads, window)
        self.norm1 = nn.LayerNorm(width)
        self.mlp = _FeedForward(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Of a map [B, H, W, C]."""
        x = x + self.norm1(self.correlation(x))
        fed: Tensor = self.norm2(self.mlp(x))
        return x + fed


class _Correlation(nn.Module):
    """Spatial and channel self-correlation of windows (SCC), without softmax.

    Half of the channels are queries, the others are keys and values at once.
    """

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.pooled = min(window, _POOLED)
        self.qv = _DualFeatures(width)
        self.spatial_linear = nn.Linear((window // self.pooled) ** 2, 1)
        self.pos = _PositionBias(width // 16, heads)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Of a map [B, H, W, C]; one that does not fill its windows is reflected."""
        height, width = x.shape[1:3]
        padded = self.qv(pad_to_multiple(x.movedim(-1, 1), self.window))
        size = padded.shape[-2:]
        q, v = partition_windows(padded.movedim(1, -1), self.window).chunk(2, dim=-1)
        tokens = torch.cat([self._correlate_places(q, v), self._correlate_channels(q, v)], dim=-1)
        merged = merge_windows(tokens, self.window, *size)[:, :height, :width]
        projected: Tensor = self.proj(merged)
        return projected

    def _correlate_places(self, q: Tensor, v: Tensor) -> Tensor:
        """Each place with the S * S pooled ones of its window: [nW, N, C / 2] of two such."""
        # [nW, S, cell, S, cell, heads, d]: the pixels of a cell become one.
        side, cell = self.pooled, self.window // self.pooled
        cells = v.unflatten(1, (side, cell, side, cell)).unflatten(-1, (self.heads, -1))
        cells = cells.permute(0, 5, 1, 3, 6, 2, 4).flatten(-2).flatten(2, 3)
        pooled = self.spatial_linear(cells).squeeze(-1)  # [nW, heads, S * S, d]
        q = q.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        bias = self.pos(self.window, self.pooled)
        related = q @ pooled.transpose(-2, -1) / q.shape[-1] + bias
        return (related @ pooled).transpose(1, 2).flatten(2)

    @staticmethod
    def _correlate_channels(q: Tensor, v: Tensor) -> Tensor:
        """Each channel of q with each of v, over all places: [nW, N, C / 2] of two such."""
        related = q.transpose(-2, -1) @ v / q.shape[1]
        return v @ related.transpose(-2, -1)


class _DualFeatures(nn.Module):
    """Queries and values of a map [B, C, H, W]: a narrow convolution times a linear layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow = width // 5
        self.conv = nn.Sequential(
            nn.Conv2d(width, narrow, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(narrow, narrow, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(narrow, width, 1),
        )
        self.linear = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.conv(x) * self.linear(x)
        return features


class _PositionBias(nn.Module):
    """A small network that makes a bias per head of the distance of two places."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.pos_proj = nn.Linear(2, width)
        for number, outputs in enumerate((width, width, heads), start=1):
            stage = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, outputs))
            self.add_module(f"pos{number}", stage)

    def forward(self, window: int, pooled: int) -> Tensor:
        """The bias [heads, N, S * S] of each place of a window and each pooled one."""
        weight = self.pos_proj.weight
        steps = torch.arange(1 - window, window, device=weight.device, dtype=weight.dtype)
        table = self.pos_proj(torch.cartesian_prod(steps, steps))
        for number in (1, 2, 3):
            table = self.get_submodule(f"pos{number}")(table)
        cell = window // pooled
        # The mean over the places of a cell is a box filter over their distances.
        table = table.T.unflatten(1, (len(steps), -1))[None]
        means = F.avg_pool2d(table, cell, stride=1)[0]
        places = torch.arange(window, device=weight.device)
        lines = places[:, None] - cell * places[None, :pooled] + window - cell  # [M, S]
        bias = means[:, lines[:, None, :, None], lines[None, :, None, :]]
        return bias.flatten(3, 4).flatten(1, 2)


class _FeedForward(nn.Module):
    """Feed-forward layer with a depthwise convolution beside its hidden channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 2 * width
        depthwise = nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden)
        self.fc1 = nn.Linear(width, hidden)
        self.dwconv = nn.Sequential(OrderedDict(depthwise_conv=nn.Sequential(depthwise, nn.GELU())))
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Of a map [B, H, W, C]."""
        x = F.gelu(self.fc1(x))
        fed: Tensor = self.fc2(x + self.dwconv(x.movedim(-1, 1)).movedim(1, -1))
        return fed
