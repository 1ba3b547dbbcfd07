"""Models of both packages by name, networks from checkpoint files, and weights from a file."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import baselines
from baselines.catalog import create_any_model, find_shipped, list_any_models, list_fields
from benchmarks.records.components import versions_of
from benchmarks.records.description import Description
from kgt.checkpoints import load_weights as load_weights
from kgt.contract import Restorer, has_parameters


def components_of(description: str, device: str | None = None) -> dict[str, int]:
    """What a network's output, time and memory depend on, with versions (see `VERSIONS`).

    Args:
        description: as for `create_described`, or a checkpoint file.
        device: "cuda", or None for the CPU.
    """
    family = family_of(description)
    found = versions_of(family)
    if family == "kgt":
        kernels = "attention-triton" if device else "attention-native"
        found |= versions_of("graph", "attention-torch", kernels)
    own = Description.parse(description)
    return found if own.name == own.network else versions_of("baselines") | found


def family_of(description: str) -> str:
    """The component that a network is itself: "kgt", "swinir" or "baselines"."""
    family = Description.parse(description).family
    return family if family in ("kgt", "swinir") else "baselines"


def digest_shipped(name: str) -> list[str]:
    """Digests of the values of the weights that ship with a network, none if it has none."""
    shipped = find_shipped(name)
    return [_digest_values(shipped.path.read_bytes())] if shipped else []


def _digest_values(safetensors: bytes) -> str:
    """Of the file, without its header, which says where the weights come from."""
    (header,) = struct.unpack_from("<Q", safetensors)
    return hashlib.sha256(safetensors[8 + header :]).hexdigest()


def create_for_task(
    model: str, conditions: Mapping[str, Any], *, pretrained: bool | Path = False
) -> Restorer:
    """Create the network that is to restore images of a task.

    Args:
        model: NAME:field=value:field=value, or a checkpoint file.
        conditions: what is known of the task's inputs, such as {"scale": 1, "sigma": 25}. A model
            takes those that it has a field for.
        pretrained: load trained weights where the model has parameters, or those of a file.

    Raises:
        ValueError: neither a model nor a file, a value the model refuses, no trained weights, a
            file as in `baselines.load_checkpoint`, or a network of another scale than the task's.
    """
    if model not in list_any_models() and Path(model).is_file():
        network: Restorer = baselines.load_checkpoint(model)
    else:
        network = _create_named(model, conditions, pretrained)
    scale = conditions.get("scale", network.scale)
    if network.scale != scale:
        raise ValueError(
            f"{model} is a network of scale {network.scale}, the task needs one of scale {scale}"
        )
    return network


def create_described(description: str, conditions: Mapping[str, Any] | None = None) -> Restorer:
    """Create a model from its description, NAME:field=value:field=value.

    Args:
        description: name and fields.
        conditions: what is known of a task's inputs, as for `create_for_task`.

    Raises:
        ValueError: an unknown name or field, or a field without a value.
    """
    parsed = Description.parse(description)
    if conditions:
        return create_for_task(parsed.name, {**conditions, **parsed.fields})
    return create_any_model(parsed.name, **parsed.fields)


def _create_named(text: str, conditions: Mapping[str, Any], pretrained: bool | Path) -> Restorer:
    description = Description.parse(text)
    name, fields = description.name, list_fields(description.name)
    known = {field: value for field, value in conditions.items() if field in fields}
    scale = known.pop("scale", None)
    known |= description.fields
    network = create_any_model(name, pretrained=pretrained, **known)
    # Weights are of one scale. What has none serves every scale under one name.
    if scale is not None and not has_parameters(network):
        network = create_any_model(name, scale=scale, **known)
    return network
