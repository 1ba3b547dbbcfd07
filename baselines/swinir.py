"""SwinIR (Liang et al., "SwinIR: Image Restoration Using Swin Transformer", 2021).

Written anew to be as fast as PyTorch allows: fused attention, and shift masks that are not
rebuilt per block and size. Parameters carry the names of the authors' release, so their
checkpoints load as ours do. Stochastic depth, used by the authors in training, is left out.
Axis letters: B batch, C channels, H and W the padded map's height and width, N = window^2 tokens
per window, nW windows per map.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baselines.official import recognize
from baselines.registry import register
from kgt.contract import UNKNOWN
from kgt.errors import quote
from kgt.fields import convert_all
from kgt.network.linear import linear
from kgt.network.windows import (
    check_image,
    crop,
    cyclic_regions,
    merge_windows,
    pad_to_multiple,
    partition_windows,
)
from kgt.tasks import SAME_SIZE
from kgt.zoo import initialize

RGB_MEAN = (0.4488, 0.4371, 0.4040)
SCALES = {"pixelshuffle": (2, 3, 4, 8), "pixelshuffledirect": (2, 3, 4, 8), "": (1,)}


@dataclass(frozen=True)
class SwinIRConfig:
    """Shape of a SwinIR; the defaults are SwinIR-M for super-resolution by 4.

    Attributes:
        task: what the network is for, e.g. "sr"; read by harnesses, not by the network.
        scale: output size over input size.
        in_channels: channels of the input, 3 of an RGB image, whose mean is subtracted, 6 of two
            of them, of which the second is restored, or any other.
        out_channels: channels of the result (ours, at scale 1); None for as many as of the input.
        unshuffle: side of the pixel blocks that become channels before the first convolution, and
            pixels again after the last (ours, at scale 1): 2 restores for a quarter of the cost.
        embed_dim: C, the width of every layer.
        depths: layers in each residual group.
        num_heads: attention heads of every layer.
        window_size: side of the attention window in pixels; every second layer is shifted by
            half of it.
        mlp_ratio: hidden over outer width of the MLP.
        upsampler: "pixelshuffle" (classical), "pixelshuffledirect" (lightweight), or "" for
            restoration at scale 1, where the network predicts a residual.
        upsample_features: width of the "pixelshuffle" head.
        img_range: factor on the [0, 1] input inside the network (255 in the authors' JPEG models).

    Raises:
        ValueError: when heads do not divide the width, the upsampler does not exist or cannot make
            the scale, or the image is unshuffled or loses channels at another scale than 1.
    """

    task: str = "sr"
    scale: int = 4
    in_channels: int = 3
    out_channels: int | None = None
    unshuffle: int = 1
    embed_dim: int = 180
    depths: tuple[int, ...] = (6, 6, 6, 6, 6, 6)
    num_heads: int = 6
    window_size: int = 8
    mlp_ratio: float = 2.0
    upsampler: str = "pixelshuffle"
    upsample_features: int = 64
    img_range: float = 1.0

    def __post_init__(self) -> None:
        convert_all(
            self, ("embed_dim", "num_heads", "window_size", "mlp_ratio", "upsample_features")
        )
        if self.embed_dim % self.num_heads:
            raise ValueError(
                f"embed_dim {self.embed_dim} is not a multiple of num_heads {self.num_heads}"
            )
        if self.upsampler not in SCALES:
            raise ValueError(f"unknown upsampler {quote(self.upsampler)}; valid: {list(SCALES)}")
        if self.scale not in SCALES[self.upsampler]:
            raise ValueError(
                f"upsampler {quote(self.upsampler)} cannot make scale {self.scale}; "
                f"valid scales: {SCALES[self.upsampler]}"
            )
        if self.unshuffle < 1 or (self.unshuffle > 1 and self.scale > 1):
            raise ValueError(
                f"unshuffle = {self.unshuffle} at scale {self.scale}; it is at least 1, and "
                "above 1 only at scale 1"
            )
        if not 1 <= self.restored_channels <= self.in_channels:
            raise ValueError(
                f"out_channels = {self.out_channels}; valid: 1 to in_channels = {self.in_channels}"
            )
        if self.restored_channels < self.in_channels and self.scale > 1:
            raise ValueError(
                f"out_channels = {self.out_channels} needs scale = 1; scale = {self.scale}"
            )

    @property
    def restored_channels(self) -> int:
        """Channels of the result."""
        return self.in_channels if self.out_channels is None else self.out_channels


class WindowAttention(nn.Module):
    """Multi-head attention within windows with a learned bias per relative position (Eq. 2).

    Args:
        config: shape of the network.
        shift: pixels by which the map was rolled up and left before it was cut into windows.
    """

    relative_position_index: Tensor
    apart: Tensor

    def __init__(self, config: SwinIRConfig, shift: int) -> None:
        super().__init__()
        dim, window = config.embed_dim, config.window_size
        self.num_heads = config.num_heads
        self.head_dim = dim // config.num_heads
        self.shift = shift
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros((2 * window - 1) ** 2, config.num_heads)
        )
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

        device = self.relative_position_bias_table.device
        # On the meta device these few numbers would import a library of algebra, for seconds.
        cpu = torch.device("cpu")
        y, x = torch.meshgrid(*[torch.arange(window, device=cpu)] * 2, indexing="ij")
        rows, columns = (c.flatten()[:, None] - c.flatten() + window - 1 for c in (y, x))
        index = rows * (2 * window - 1) + columns
        self.register_buffer("relative_position_index", index.to(device), persistent=False)
        if shift:
            # However large the map, its windows are of four kinds: inside, at the right border,
            # at the bottom, in the corner. A map of 2x2 windows has one of each, in this order.
            regions = cyclic_regions(2 * window, 2 * window, window, shift, shift, cpu)
            apart = (regions[:, :, None] != regions[:, None, :]).unflatten(0, (1, 2, 2))
            # Of six axes: torch takes a buffer of four or five for an image.
            self.register_buffer("apart", apart.unsqueeze(3).to(device), persistent=False)

    def forward(self, tokens: Tensor, rows: int, columns: int) -> Tensor:
        """Attend within each window.

        Args:
            tokens: [B * nW, N, C], the windows of each map in raster order.
            rows: windows from top to bottom of a map.
            columns: windows from left to right; nW = rows * columns.

        Returns:
            [B * nW, N, C].
        """
        windows, size, _ = tokens.shape
        qkv_weight, qkv_bias, proj_weight = self._pad_heads(head_multiple(tokens.device))
        qkv = linear(tokens, qkv_weight, qkv_bias)
        q, k, v = qkv.view(windows, size, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.position_bias().to(qkv.dtype)
        plain = torch.compiler.is_exporting() or (bias.is_cpu and bias.requires_grad)
        if self.shift:
            batch = 1 if plain else windows // (rows * columns)
            bias = self._mask_windows(bias, batch, rows, columns)
        attend = _attend_plainly if plain else F.scaled_dot_product_attention
        out = attend(q, k, v, attn_mask=bias, scale=self.head_dim**-0.5)
        return linear(out.transpose(1, 2).flatten(2), proj_weight, self.proj.bias)

    def position_bias(self) -> Tensor:
        """Look up the bias [1, heads, N, N] of all pairs of tokens in a window."""
        bias = self.relative_position_bias_table[self.relative_position_index]
        return bias.permute(2, 0, 1).unsqueeze(0)

    def _mask_windows(self, bias: Tensor, batch: int, rows: int, columns: int) -> Tensor:
        """Bias [B * nW, heads, N, N] that parts tokens from opposite borders of the image.

        Repeating by expansion instead of by index keeps the backward pass a plain sum.
        """
        kinds = torch.where(self.apart, float("-inf"), bias)
        if torch.compiler.is_exporting():
            last = [torch.arange(n, device=bias.device) == n - 1 for n in (rows, columns)]
            kind = (2 * last[0].long()[:, None] + last[1].long()).flatten()
            return kinds.flatten(0, 2).index_select(0, kind)
        inside, right = kinds.split(1, dim=2)
        lines = torch.cat([inside.expand(-1, -1, columns - 1, -1, -1, -1), right], dim=2)
        upper, bottom = lines.expand(batch, -1, -1, -1, -1, -1).split(1, dim=1)
        upper = upper.expand(-1, rows - 1, -1, -1, -1, -1)
        return torch.cat([upper, bottom], dim=1).flatten(0, 2)

    def _pad_heads(self, multiple: int) -> tuple[Tensor, Tensor, Tensor]:
        """Weights with zero channels added to each head, which change no result."""
        padding = -self.head_dim % multiple
        if not padding:
            return self.qkv.weight, self.qkv.bias, self.proj.weight
        heads = (-1, self.head_dim)
        qkv_weight = F.pad(self.qkv.weight.unflatten(0, heads), (0, 0, 0, padding))
        qkv_bias = F.pad(self.qkv.bias.unflatten(0, heads), (0, padding))
        proj_weight = F.pad(self.proj.weight.unflatten(1, heads), (0, padding))
        return qkv_weight.flatten(0, 1), qkv_bias.flatten(), proj_weight.flatten(1)


def _attend_plainly(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor, scale: float) -> Tensor:
    """What torch's fused attention computes, for training on a CPU, and for exports.

    There the fused kernel has no gradient of the mask, and what torch takes in its place looks for
    rows without a key, which windows have none of: a sixth of a whole training step.

    Args:
        q: queries [W, H, N, D].
        k: keys, like q.
        v: values, like q.
        attn_mask: to be added to the scores, [nW, H, N, N] with W a multiple of nW.
        scale: factor of the scores.
    """
    scores = (q * scale) @ k.mT
    masked = scores.unflatten(0, (-1, attn_mask.shape[0])) + attn_mask
    return masked.flatten(0, 1).softmax(-1) @ v


def head_multiple(device: torch.device) -> int:
    """Multiple of channels per head that PyTorch's fused attention asks for on a device."""
    return 8 if device.type == "cuda" else 1


class SwinTransformerBlock(nn.Module):
    """Attention in (shifted) windows, then an MLP, each after LayerNorm and with a residual."""

    def __init__(self, config: SwinIRConfig, shift: int) -> None:
        super().__init__()
        dim, hidden = config.embed_dim, int(config.embed_dim * config.mlp_ratio)
        self.window = config.window_size
        self.shift = shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(config, shift)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(dim, hidden), act=nn.GELU(), fc2=nn.Linear(hidden, dim))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform a map [B, H, W, C]."""
        x = x + self._attend(self.norm1(x))
        widen, _, narrow = self.mlp
        hidden = linear(self.norm2(x), *widen.parameters(), activation="gelu")
        return linear(hidden, *narrow.parameters(), residual=x)

    def _attend(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        if self.shift:
            x = x.roll((-self.shift, -self.shift), dims=(1, 2))
        tokens = partition_windows(x, self.window)
        tokens = self.attn(tokens, height // self.window, width // self.window)
        x = merge_windows(tokens, self.window, height, width)
        return x.roll((self.shift, self.shift), dims=(1, 2)) if self.shift else x


class RSTB(nn.Module):
    """Residual Swin Transformer block: transformer layers, a convolution, a residual (Eq. 5)."""

    def __init__(self, config: SwinIRConfig, depth: int) -> None:
        super().__init__()
        shifts = [0 if i % 2 == 0 else config.window_size // 2 for i in range(depth)]
        blocks = nn.Sequential(*(SwinTransformerBlock(config, shift) for shift in shifts))
        self.residual_group = nn.Sequential(OrderedDict(blocks=blocks))
        self.conv = nn.Conv2d(config.embed_dim, config.embed_dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Transform a map [B, H, W, C]."""
        deep = self.residual_group(x).permute(0, 3, 1, 2)
        return x + self.conv(deep).permute(0, 2, 3, 1)


class SwinIR(nn.Module):
    """SwinIR with the parameter names of the authors' release.

    Args:
        config: shape of the network.
    """

    mean: Tensor
    provenance: Mapping[str, str] = UNKNOWN
    # What the authors' checkpoints hold beside parameters: masks of the shift, for one size.
    ignored_entries = (".attn_mask",)

    def __init__(self, config: SwinIRConfig) -> None:
        super().__init__()
        self.config = config
        self.scale = config.scale
        self.in_channels = config.in_channels
        self.task = config.task
        self.size_multiple = config.window_size * config.unshuffle

        dim, features = config.embed_dim, config.upsample_features
        channels, pixels = config.restored_channels, config.unshuffle**2
        means = {3: RGB_MEAN, 6: RGB_MEAN * 2}
        mean = torch.tensor(means.get(config.in_channels, (0.0,) * config.in_channels))
        self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)
        self.conv_first = nn.Conv2d(config.in_channels * pixels, dim, 3, padding=1)
        self.patch_embed = nn.Sequential(OrderedDict(norm=nn.LayerNorm(dim)))
        self.layers = nn.Sequential(*(RSTB(config, depth) for depth in config.depths))
        self.norm = nn.LayerNorm(dim)
        self.conv_after_body = nn.Conv2d(dim, dim, 3, padding=1)
        if config.upsampler == "pixelshuffle":
            self.conv_before_upsample = nn.Sequential(
                nn.Conv2d(dim, features, 3, padding=1), nn.LeakyReLU(inplace=True)
            )
            factors = [3] if config.scale == 3 else [2] * (config.scale.bit_length() - 1)
            self.upsample = nn.Sequential(
                *(module for factor in factors for module in _upscale(features, features, factor))
            )
            self.conv_last = nn.Conv2d(features, channels, 3, padding=1)
        elif config.upsampler == "pixelshuffledirect":
            self.upsample = nn.Sequential(*_upscale(dim, channels, config.scale))
        else:
            self.conv_last = nn.Conv2d(dim, channels * pixels, 3, padding=1)
        self.apply(initialize)

    def forward(self, x: Tensor) -> Tensor:
        """Restore [B, in_channels, h, w] in [0, 1] to [B, restored_channels, scale * h, scale * w].

        Raises:
            ValueError: for an image smaller than one window, of other channels, empty or not
                finite.
        """
        check_image(x, self.in_channels, self.size_multiple)
        height, width = (self.scale * side for side in x.shape[-2:])
        x = pad_to_multiple(x, self.size_multiple)
        x = (x - self.mean) * self.config.img_range
        unshuffle = self.config.unshuffle
        if unshuffle > 1:
            y = F.pixel_shuffle(self._transform(F.pixel_unshuffle(x, unshuffle)), unshuffle)
        else:
            y = self._transform(x)
        y = y / self.config.img_range + self.mean[:, : self.config.restored_channels]
        return crop(y, height, width)

    def recognize(self, weights: Mapping[str, Tensor]) -> dict[str, Any]:
        """Fields of the configuration of which weights are, as far as their shapes tell."""
        fields = recognize(weights)
        if "in_channels" in fields:
            fields["in_channels"] //= self.config.unshuffle**2
        return fields

    def _transform(self, x: Tensor) -> Tensor:
        shallow = self.conv_first(x)
        tokens = self.layers(self.patch_embed(shallow.permute(0, 2, 3, 1)))
        deep = self.norm(tokens).permute(0, 3, 1, 2)
        return self._reconstruct(shallow + self.conv_after_body(deep), x)

    def _reconstruct(self, features: Tensor, x: Tensor) -> Tensor:
        if self.config.upsampler == "pixelshuffle":
            return self.conv_last(self.upsample(self.conv_before_upsample(features)))
        if self.config.upsampler == "pixelshuffledirect":
            return self.upsample(features)
        residual = self.conv_last(features)
        return x[:, -residual.shape[1] :] + residual


def _upscale(in_channels: int, out_channels: int, factor: int) -> list[nn.Module]:
    shuffled = nn.Conv2d(in_channels, factor**2 * out_channels, 3, padding=1)
    return [shuffled, nn.PixelShuffle(factor)]


PRESETS = {
    "m": SwinIRConfig(),
    "s": SwinIRConfig(embed_dim=60, depths=(6, 6, 6, 6), upsampler="pixelshuffledirect"),
    "tiny": SwinIRConfig(
        embed_dim=48, depths=(2, 2, 2), num_heads=6, upsampler="pixelshuffledirect"
    ),
}
# As many parameters as the KGT of the same name has, within 1 %.
TINY_RESTORATION = SwinIRConfig(
    scale=1, unshuffle=2, embed_dim=60, depths=(2, 2, 2), num_heads=6, upsampler=""
)


def _build(**fields: Any) -> SwinIR:
    return SwinIR(SwinIRConfig(**fields))


for _size, _preset in PRESETS.items():
    for _scale in (2, 3, 4):
        register(f"swinir-{_size}-x{_scale}", **asdict(replace(_preset, scale=_scale)))(_build)
for _own in SAME_SIZE:
    _preset = replace(TINY_RESTORATION, task=_own.task)
    register(f"swinir-tiny-{_own.suffix}", **asdict(_preset))(_build)
