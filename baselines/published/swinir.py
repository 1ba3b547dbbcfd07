"""SwinIR from the code its authors published, with random weights.

It answers as `baselines.swinir.SwinIR` does but rebuilds the shift mask on the CPU in every block
for any input that is not 8x8 windows large, and attends without a fused kernel. These handicaps are
its own and are timed under its own name.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from baselines.published.network import describe
from baselines.registry import register
from baselines.swinir import PRESETS
from kgt.contract import Restorer

# Upstream fixes the features at 64, and has neither of the other two.
_OURS = ("upsample_features", "unshuffle", "out_channels")


def build(**fields: Any) -> Restorer:
    """Build the authors' module from fields of `SwinIRConfig`."""
    from spandrel.architectures.SwinIR import SwinIR

    depths = list(fields["depths"])
    network = SwinIR(
        img_size=8 * fields["window_size"],
        in_chans=fields["in_channels"],
        embed_dim=fields["embed_dim"],
        depths=depths,
        num_heads=[fields["num_heads"]] * len(depths),
        window_size=fields["window_size"],
        mlp_ratio=fields["mlp_ratio"],
        upscale=fields["scale"],
        img_range=fields["img_range"],
        upsampler=fields["upsampler"],
    )
    task = "sr" if fields["upsampler"] else "restoration"
    return describe(network, fields["in_channels"], fields["window_size"], fields["scale"], task)


for _size in ("m", "s"):
    for _scale in (2, 3, 4):
        _fields = asdict(replace(PRESETS[_size], scale=_scale))
        _known = {name: value for name, value in _fields.items() if name not in _OURS}
        register(f"swinir-upstream-{_size}-x{_scale}", **_known)(build)
