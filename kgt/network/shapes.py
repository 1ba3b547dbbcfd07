"""The two shapes of networks, whatever their stages: columnar, and U for the same size.

Source: KGT (arXiv 2402.02634), Fig. 2 and Sec. 3. The columnar flow is the paper's: convolution,
stages, convolution, residual, reconstruction. Of the U shape the paper prints the total of
parameters and the kinds of skip; the widths and depths are ours.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kgt.config import KGTConfig
from kgt.contract import UNKNOWN
from kgt.network.windows import check_image, crop, pad_to_multiple


def _channels_last(conv: nn.Module, x: Tensor) -> Tensor:
    """Apply a convolution to a map [B, H, W, C]."""
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _conv3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _head(config: KGTConfig) -> nn.Module:
    """From features [B, C, h, w] to the image [B, restored_channels, scale * h, scale * w]."""
    dim, features, scale = config.embed_dim, config.upsample_features, config.scale
    channels = config.restored_channels
    if scale == 1:
        return _conv3(dim, channels * config.unshuffle**2)
    if config.upsampler == "pixelshuffledirect":
        return nn.Sequential(_conv3(dim, channels * scale**2), nn.PixelShuffle(scale))
    steps = [2, 2] if scale == 4 else [scale]
    modules: list[nn.Module] = [_conv3(dim, features), nn.LeakyReLU(inplace=True)]
    for step in steps:
        modules += [_conv3(features, features * step**2), nn.PixelShuffle(step)]
    return nn.Sequential(*modules, _conv3(features, channels))


class Shape(nn.Module):
    """What networks of both shapes share: input checks, padding and normalization."""

    mean: Tensor
    provenance: Mapping[str, str] = UNKNOWN

    def __init__(self, config: KGTConfig) -> None:
        super().__init__()
        self.config = config
        self.task = config.task
        self.scale = config.scale
        self.in_channels = config.in_channels
        self.size_multiple = config.size_multiple
        images, rest = divmod(config.in_channels, len(config.mean))
        mean = torch.tensor((0.0,) if rest else config.mean * images)
        self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Restore x [B, C, h, w] in [0, 1] to [B, restored_channels, scale * h, scale * w].

        Raises:
            ValueError: for wrong channels, empty or non-finite input, or an image smaller than a
                window.
        """
        unshuffle = self.config.unshuffle
        check_image(x, self.in_channels, unshuffle * self.config.windows[0])
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, self.size_multiple) - self.mean
        if unshuffle > 1:
            y = F.pixel_shuffle(self.reconstruct(F.pixel_unshuffle(x, unshuffle)), unshuffle)
        else:
            y = self.reconstruct(x)
        restored = y + self.mean[:, : self.config.restored_channels]
        return crop(restored, height * self.scale, width * self.scale)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Restore a zero-mean, unshuffled input whose size is a multiple of its windows."""
        raise NotImplementedError

    def _stage(self, level: int, depth: int, shifted: bool, window: int) -> nn.Module:
        """A stage of maps [B, H, W, C], whose C is doubled at each level.

        Args:
            level: 0 at full resolution.
            depth: number of layers.
            shifted: whether its windows are offset by half a window, where all are alike.
            window: side of the windows.
        """
        raise NotImplementedError


class Columnar(Shape):
    """Convolution, stages at one resolution, convolution, residual, pixel-shuffle head."""

    def __init__(self, config: KGTConfig) -> None:
        super().__init__(config)
        dim = config.embed_dim
        self.conv_in = _conv3(config.in_channels * config.unshuffle**2, dim)
        self.norm_in = nn.LayerNorm(dim)
        self.stages = nn.ModuleList(
            self._stage(0, depth, index % 2 == 1, config.window)
            for index, depth in enumerate(config.depths)
        )
        self.norm_out = nn.LayerNorm(dim)
        self.conv_body = _conv3(dim, dim)
        self.head = _head(config)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Restore a zero-mean, unshuffled input whose size is a multiple of the window."""
        shallow = self.conv_in(x)
        y = self.norm_in(shallow.permute(0, 2, 3, 1))
        for stage in self.stages:
            y = stage(y)
        deep = self.conv_body(self.norm_out(y).permute(0, 3, 1, 2)) + shallow
        restored = self.head(deep)
        return restored if self.scale > 1 else x[:, -restored.shape[1] :] + restored


class UShaped(Shape):
    """Encoder, latent, decoder with concatenated skips, and a final stage at full resolution.

    Each level down halves the resolution by pixel unshuffle and doubles C and the heads, so the
    head dimension stays. Within a level the windows of successive stages alternate their offset.
    """

    def __init__(self, config: KGTConfig) -> None:
        super().__init__(config)
        *encoder, latent = config.depths
        dims = [config.embed_dim * 2**level for level in range(len(config.depths))]
        windows = config.windows
        self.conv_in = _conv3(config.in_channels * config.unshuffle**2, dims[0])
        self.encoder = nn.ModuleList(
            self._stage(level, depth, False, windows[level]) for level, depth in enumerate(encoder)
        )
        self.down = nn.ModuleList(
            nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * dim, 2 * dim, 1)) for dim in dims[:-1]
        )
        self.latent = self._stage(len(encoder), latent, False, windows[-1])
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * dim, 4 * dim, 1), nn.PixelShuffle(2)) for dim in dims[:-1]
        )
        self.fuse = nn.ModuleList(nn.Conv2d(2 * dim, dim, 1) for dim in dims[:-1])
        self.decoder = nn.ModuleList(
            self._stage(level, depth, True, windows[level]) for level, depth in enumerate(encoder)
        )
        self.final = self._stage(0, config.final_depth, False, windows[0])
        self.conv_out = _conv3(dims[0], config.restored_channels * config.unshuffle**2)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Restore a zero-mean, unshuffled input whose size fits the windows of every level."""
        y = self.conv_in(x).permute(0, 2, 3, 1)
        skips = []
        for stage, down in zip(self.encoder, self.down, strict=True):
            y = stage(y)
            skips.append(y)
            y = _channels_last(down, y)
        y = self.latent(y)
        for level in reversed(range(len(skips))):
            y = torch.cat([_channels_last(self.up[level], y), skips[level]], dim=-1)
            y = self.decoder[level](_channels_last(self.fuse[level], y))
        residual = self.conv_out(self.final(y).permute(0, 3, 1, 2))
        return x[:, -residual.shape[1] :] + residual
