"""Models of both packages by name, networks from checkpoint files, and weights from a file."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

import baselines
import kgt
from baselines import registry
from baselines.checkpoints import read_weights
from benchmarks.records.components import versions_of
from benchmarks.records.description import Description
from kgt import zoo
from kgt.config import preset
from kgt.contract import Restorer
from kgt.errors import unknown


def list_any_models() -> list[str]:
    """Names of the models of `kgt` and then of `baselines`."""
    return [*kgt.list_models(), *baselines.list_models()]


def create_any_model(name: str, **overrides: Any) -> Restorer:
    """Create a model of `kgt` or, failing that, of `baselines`.

    Args:
        name: model name.
        **overrides: passed on to the `create_model` of its package.

    Raises:
        ValueError: unknown name, or an override that the package refuses.
    """
    for package in (kgt, baselines):
        if name in package.list_models():
            return package.create_model(name, **overrides)
    raise unknown("model", name, list_any_models())


def components_of(description: str, device: str | None = None) -> dict[str, int]:
    """What a network's output, time and memory depend on, with versions (see `VERSIONS`).

    Args:
        description: as for `create_described`, or a checkpoint file.
        device: "cuda", or None for the CPU.
    """
    wrapped = description.removeprefix("deconvolved-")
    if wrapped != description:
        return versions_of("baselines") | components_of(wrapped, device)
    family = family_of(description)
    if family != "kgt":
        return versions_of(family)
    kernels = "attention-triton" if device else "attention-native"
    return versions_of("kgt", "graph", "attention-torch", kernels)


def family_of(description: str) -> str:
    """The component that a network is itself: "kgt", "swinir" or "baselines"."""
    family = Description.parse(description).family
    return family if family in ("kgt", "swinir") else "baselines"


def digest_shipped(name: str) -> list[str]:
    """Digests of the values of the weights that ship with a network, none if it has none."""
    folders = (zoo.WEIGHTS, registry.WEIGHTS)
    paths = [folder / f"{name}.safetensors" for folder in folders]
    return [_digest_values(path.read_bytes()) for path in paths if path.exists()]


def _digest_values(safetensors: bytes) -> str:
    """Of the file, without its header, which says where the weights come from."""
    (header,) = struct.unpack_from("<Q", safetensors)
    return hashlib.sha256(safetensors[8 + header :]).hexdigest()


def create_for_task(
    model: str, conditions: Mapping[str, Any], *, pretrained: bool = False
) -> Restorer:
    """Create the network that is to restore images of a task.

    Args:
        model: NAME:field=value:field=value, or a checkpoint file.
        conditions: what is known of the task's inputs, such as {"scale": 1, "sigma": 25}. A model
            takes those that it has a field for.
        pretrained: load trained weights where the model has parameters.

    Raises:
        ValueError: neither a model nor a file, a value the model refuses, no trained weights, a
            file as in `create_from_checkpoint`, or a network of another scale than the task's.
    """
    if model not in list_any_models() and Path(model).is_file():
        network = create_from_checkpoint(Path(model))
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


def create_from_checkpoint(path: Path) -> Restorer:
    """Open a published network; its architecture is recognized by its parameters.

    Raises:
        ValueError: naming the file: it is absent, unreadable, carries code, or holds a network that
            spandrel does not know.
    """
    try:
        return baselines.load_checkpoint(path)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error


def load_weights(model: Restorer, path: Path) -> None:
    """Load a file that has exactly the model's tensors.

    Args:
        model: network to fill.
        path: a safetensors file, or for a SwinIR also a checkpoint of its authors' release.

    Raises:
        ValueError: the file is absent, of another kind, or of another model.
    """
    try:
        if isinstance(model, baselines.SwinIR) and path.suffix != ".safetensors":
            baselines.load_official(model, read_weights(path))
        else:
            model.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError, ValueError) as error:
        raise ValueError(f"cannot load {path}: {error}") from error


def _create_named(text: str, conditions: Mapping[str, Any], pretrained: bool) -> Restorer:
    description = Description.parse(text)
    name, fields = description.name, _fields(description.name)
    known = {field: value for field, value in conditions.items() if field in fields}
    scale = known.pop("scale", None)
    known |= description.fields
    network = create_any_model(name, pretrained=pretrained, **known)
    # Weights are of one scale. What has none serves every scale under one name.
    if scale is not None and next(network.parameters(), None) is None:
        network = create_any_model(name, scale=scale, **known)
    return network


def _fields(name: str) -> dict[str, Any]:
    if name in kgt.list_models():
        return asdict(preset(name))
    return baselines.model_fields(name) if name in baselines.list_models() else {}
