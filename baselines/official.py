"""Checkpoints of the SwinIR authors' release: which network they are of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor


def recognize(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Fields of `SwinIRConfig` that the parameters of a SwinIR give away; none of other networks.

    Args:
        weights: parameters by the names of the authors' release.
    """
    try:
        return _read_shapes(weights)
    except (ArithmeticError, LookupError, ValueError):
        return {}


def _read_shapes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    first = weights.get("conv_first.weight")
    if first is not None:
        fields["embed_dim"], fields["in_channels"] = first.shape[:2]
    suffix = ".attn.relative_position_bias_table"
    tables = {name: value for name, value in weights.items() if name.endswith(suffix)}
    groups = [name.split(".")[1] for name in tables]
    fields["depths"] = tuple(groups.count(group) for group in dict.fromkeys(groups))
    for table in tables.values():
        fields["window_size"] = (math.isqrt(table.shape[0]) + 1) // 2
        fields["num_heads"] = table.shape[1]
    for name, value in weights.items():
        if first is not None and name.endswith(".mlp.fc1.bias"):
            fields["mlp_ratio"] = len(value) / len(first)
    widened = [
        value.shape[0]
        for name, value in weights.items()
        if name.startswith("upsample.") and name.endswith(".bias")
    ]
    if "conv_before_upsample.0.weight" in weights:
        fields["upsampler"] = "pixelshuffle"
        features = weights["conv_before_upsample.0.weight"].shape[0]
        fields["upsample_features"] = features
        fields["scale"] = math.prod(math.isqrt(width // features) for width in widened)
    elif widened:
        fields["upsampler"] = "pixelshuffledirect"
        if first is not None:
            fields["scale"] = math.isqrt(widened[0] // first.shape[1])
    else:
        fields["upsampler"], fields["scale"] = "", 1
    return fields
