"""Checkpoints of the SwinIR authors' release, and a strict account of what is in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from baselines.swinir import SwinIR

_INDEX = "relative_position_index"
_MASK = "attn_mask"


@dataclass(frozen=True)
class LoadReport:
    """What became of each entry of a checkpoint; none of the model's parameters was left out.

    Attributes:
        source: key the parameters lay under: "params_ema", "params", or "" for bare ones.
        used: names of the model's parameters, in its order, each now with the stored value.
        renamed: names of this model by the names in the checkpoint, where they differ.
        dropped: entries without parameters: shift masks, and position indices equal to ours.
    """

    source: str
    used: tuple[str, ...]
    renamed: dict[str, str]
    dropped: tuple[str, ...]


def load_official(model: SwinIR, checkpoint: Mapping[str, Any]) -> LoadReport:
    """Load a checkpoint of the authors' release into a model of the same shape.

    Args:
        model: the network to fill; it stays as it is if the checkpoint does not fit.
        checkpoint: parameters by name, bare or under "params_ema" (preferred) or "params", with or
            without the prefix "module." of parallel training.

    Returns:
        What was used, renamed and dropped.

    Raises:
        ValueError: saying how scale, upsampler and sizes of the checkpoint differ from the model's,
            and listing with its shape every parameter that is missing, unexpected or of another
            shape, and every index of relative positions that differs from the model's.
    """
    source = next((key for key in ("params_ema", "params") if key in checkpoint), "")
    stored = checkpoint[source] if source else checkpoint
    if not isinstance(stored, Mapping):
        raise ValueError(f"the checkpoint holds no parameters under {source!r}")
    renamed = {name: name.removeprefix("module.") for name in stored if name.startswith("module.")}
    weights = {renamed.get(name, name): value for name, value in stored.items()}
    foreign = [name for name, value in weights.items() if not isinstance(value, Tensor)]
    if foreign:
        raise ValueError(f"the checkpoint holds no tensor for {', '.join(foreign)}")

    expected: dict[str, Tensor] = model.state_dict()
    indices = {name: index for name, index in model.named_buffers() if name.endswith(_INDEX)}
    problems = [
        f"missing: {name} {list(value.shape)}"
        for name, value in expected.items()
        if name not in weights
    ]
    dropped = []
    for name, value in weights.items():
        if name.endswith(_MASK) or name in indices:
            dropped.append(name)
            if name in indices and not torch.equal(value.to(indices[name]), indices[name]):
                problems.append(f"differs: {name}")
        elif name not in expected:
            problems.append(f"unexpected: {name} {list(value.shape)}")
        elif value.shape != expected[name].shape:
            shapes = f"{list(value.shape)} instead of {list(expected[name].shape)}"
            problems.append(f"shape: {name} is {shapes}")
    if problems:
        lines = [*_compare_shapes(model, weights), *sorted(problems)]
        listing = "\n  ".join(lines)
        raise ValueError(f"the checkpoint does not fit this {model.config}:\n  {listing}")
    model.load_state_dict({name: weights[name] for name in expected})
    return LoadReport(source, tuple(expected), renamed, tuple(dropped))


def _compare_shapes(model: SwinIR, weights: Mapping[str, Tensor]) -> list[str]:
    """One line for each field of the configuration in which a checkpoint differs."""
    return [
        f"{field} is {value!r} in the checkpoint, {getattr(model.config, field)!r} in the model"
        for field, value in _recognize(weights).items()
        if value != getattr(model.config, field)
    ]


def _recognize(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Fields of `SwinIRConfig` that the parameters of a SwinIR give away."""
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
