"""SwinIR in the U shape of KGT: its residual groups at the places of KGT's stages.

KGT is U-shaped for all tasks but super-resolution, and SwinIR is not. Between KGT and this network
the attention alone differs: a graph against all tokens of windows that shift every second layer.
Ours; Liang et al. 2021 have no such network.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from baselines.registry import register
from baselines.swinir import RSTB, SwinIRConfig
from kgt.config import KGTConfig, preset
from kgt.network.shapes import UShaped
from kgt.tasks import SAME_SIZE
from kgt.zoo import initialize

# What it has in common with the KGT of the same task. So it has as many parameters, within 3 %.
_SHARED = (
    *("task", "in_channels", "out_channels", "unshuffle", "embed_dim", "heads"),
    *("depths", "final_depth", "mlp_ratio"),
)


class UShapedSwinIR(UShaped):
    """A U-shaped KGT whose stages are the residual groups of SwinIR."""

    def _stage(self, level: int, depth: int, shifted: bool, window: int) -> nn.Module:
        """A group at a level; within it every second layer is shifted, wherever the group is."""
        return RSTB(
            SwinIRConfig(
                scale=1,
                upsampler="",
                embed_dim=self.config.embed_dim * 2**level,
                num_heads=self.config.heads * 2**level,
                window_size=window,
                mlp_ratio=self.config.mlp_ratio,
            ),
            depth,
        )


def _build(**fields: Any) -> UShapedSwinIR:
    return UShapedSwinIR(KGTConfig(shape="u", **fields)).apply(initialize)


for _own in SAME_SIZE:
    _kgt = preset(f"kgt-tiny-{_own.suffix}")
    _fields = {field: getattr(_kgt, field) for field in _SHARED}
    register(f"swinir-u-tiny-{_own.suffix}", level_windows=(8, 8), **_fields)(_build)
