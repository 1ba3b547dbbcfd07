"""Files of weights: read without running any code they may carry, and put into a network."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor

from kgt.cli import parse_model
from kgt.contract import Restorer, as_module
from kgt.errors import quote

# Where training programs put the parameters, the best ones first: averages, then what was trained.
_WRAPPERS = (
    *("params_ema", "params-ema", "ema", "params"),
    *("model_state_dict", "state_dict", "model", "net"),
)
_SHOWN, _LONGEST = 3, 160


@dataclass(frozen=True)
class Checkpoint:
    """Weights from a file.

    Attributes:
        path: the file.
        tensors: parameters and buffers by the names that the network itself gives them.
        metadata: how they were trained, as far as the file says; "model" describes the network.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]

    def parse_model(self) -> tuple[str, dict[str, Any]] | None:
        """Name and fields of the model that the file is of, None where it does not say.

        Raises:
            ValueError: naming the file, where what it says is no description of a model.
        """
        if "model" not in self.metadata:
            return None
        try:
            return parse_model(self.metadata["model"])
        except ValueError as error:
            raise ValueError(f"{self.path} is of no model: {error}") from error


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a file of weights, of which only tensors and plain containers are taken.

    The parameters may lie within what training programs save around them, this one's included, and
    be named as wrappers name them (`module.` of parallel training, `_orig_mod.` of torch.compile).

    Args:
        path: a .safetensors file, or one that `torch.load` reads.

    Returns:
        The weights, on the CPU.

    Raises:
        ValueError: naming the file, when it is absent, cut short, carries code, or holds no
            parameters by name.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"there is no checkpoint {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder and no checkpoint; name a file of weights")
    content, metadata = read_content(path)
    identity = content.get("identity")
    if isinstance(identity, dict):
        metadata = {key: value for key, value in identity.items() if isinstance(value, str)}
    stored = _unwrap(content)
    foreign = [name for name, value in stored.items() if not is_plain(value)]
    if foreign:
        raise ValueError(
            f"{path} is no checkpoint of a network: {_list(foreign)} "
            f"hold{'s' * (len(foreign) == 1)} no tensor"
        )
    tensors = {bare_name(name): value for name, value in stored.items()}
    if len(tensors) < len(stored):
        raise ValueError(f"{path} holds parameters twice, with and without the name of a wrapper")
    return Checkpoint(path, tensors, metadata)


def bare_name(name: str) -> str:
    """The name of a parameter without those of the wrappers around its network.

    `torch.compile` may wrap any part of a network, parallel training and GANs the whole of it.
    """
    inner = re.sub(r"(^|\.)(?:_orig_mod\.)+", r"\1", name)
    return re.sub(r"^(?:(?:module|netG)\.)+", "", inner)


def fill(network: Restorer, checkpoint: Checkpoint) -> None:
    """Put weights into a network whose parameters have exactly their names and shapes.

    What a file stores beside them and the network derives on its own (its buffers that no state
    dict holds) must be equal. The attribute `provenance` becomes the file's metadata.

    Raises:
        ValueError: in one line, the fields of the configuration in which the file differs, as far
            as its parameters tell, and the first names, shapes and types that do. The network stays
            as it is.
    """
    expected = network.state_dict()
    derived = dict(as_module(network).named_buffers())
    ignored = getattr(network, "ignored_entries", ())
    stored = {
        name: value
        for name, value in checkpoint.tensors.items()
        if name in expected or not name.endswith(ignored)
    }
    known = {name: stored[name] for name in expected if name in stored}
    faults = {
        "missing": [f"{name} {_shape(expected[name])}" for name in expected if name not in known],
        "left over": [
            f"{name} {_shape(value)}"
            for name, value in stored.items()
            if name not in expected and name not in derived
        ],
        "other shapes": [
            f"{name} {_shape(value)} instead of {_shape(expected[name])}"
            for name, value in known.items()
            if value.shape != expected[name].shape
        ],
        "other types": [
            f"{name} {value.dtype} instead of {expected[name].dtype}"
            for name, value in known.items()
            if _kind(value) != _kind(expected[name])
        ],
        "other values": [
            name
            for name, value in stored.items()
            if name in derived and name not in expected and not _is_equal(value, derived[name])
        ],
    }
    found = [f"{what}: {_list(names)}" for what, names in faults.items() if names]
    if found:
        text = "; ".join([*_compare_fields(network, stored), *found])
        raise ValueError(
            f"{checkpoint.path} does not fit this {type(network).__name__}: {text}; create "
            "the network with the fields that the file was trained with"
        )
    network.load_state_dict(known)
    network.provenance = checkpoint.metadata


def load_weights(network: Restorer, path: str | os.PathLike[str]) -> None:
    """Fill a network from a file; errors as `read_checkpoint` and `fill`."""
    fill(network, read_checkpoint(path))


def load_named(
    network: Restorer,
    path: str | os.PathLike[str],
    name: str,
    given: Collection[str],
    fields: Mapping[str, Mapping[str, Any]],
) -> None:
    """Fill a named network from a file that, where it says of what it is, is of the same model.

    Networks that differ in what changes no shape, such as their task, would load and do wrong.

    Args:
        network: the network.
        path: the file.
        name: the model that it is.
        given: fields that its caller sets, which may differ.
        fields: the fields of the models that there are, by name.

    Raises:
        ValueError: as `read_checkpoint` and `fill`, or the file is of another model, naming the
            fields in which that differs.
    """
    checkpoint = read_checkpoint(path)
    _refuse_other(checkpoint, name, given, fields)
    fill(network, checkpoint)


def _refuse_other(
    checkpoint: Checkpoint,
    name: str,
    given: Collection[str],
    fields: Mapping[str, Mapping[str, Any]],
) -> None:
    described = checkpoint.parse_model()
    if described is None:
        return
    other, changes = described
    model = quote(checkpoint.metadata["model"])
    refusal = f"{checkpoint.path} holds the weights of {model}, not of {name!r}"
    if other not in fields:
        raise ValueError(refusal)
    stored, own = {**fields[other], **changes}, fields[name]
    differing = [
        f"{field} is {quote(stored.get(field))} in the file, {own.get(field)!r} in the model"
        for field in {**stored, **own}
        if field not in given and stored.get(field) != own.get(field)
    ]
    if differing:
        raise ValueError(f"{refusal}: {_list(differing)}")


def read_content(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What a file holds, whatever that is, and the metadata of safetensors.

    Raises:
        ValueError: as `read_checkpoint`, but for the parameters.
    """
    metadata: dict[str, str] = {}
    content: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, "pt") as file:
                content = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                metadata = dict(file.metadata() or {})
        else:
            _check_size(path)
            content = torch.load(path, map_location="cpu", weights_only=True)
    # Damaged files fail anywhere in the readers, with whatever error that place raises.
    except Exception as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        if foreign:
            raise ValueError(
                f"{path} asks for {shorten(foreign[1], 80)}, but no code of a checkpoint is run "
                "and only tensors are taken; save the parameters alone: "
                "torch.save(model.state_dict(), path)"
            ) from error
        reason = shorten(f"{type(error).__name__}: {error}".partition("\n")[0], 200)
        raise ValueError(f"{path} is cut short, or no checkpoint ({reason})") from error
    if not (isinstance(content, dict) and content and all(isinstance(k, str) for k in content)):
        raise ValueError(
            f"{path} holds a {type(content).__name__} without parameters by name; "
            "a checkpoint is a mapping of names to tensors"
        )
    return content, metadata


def _check_size(path: Path) -> None:
    """Refuse an archive that unpacks to more than it is: torch packs without compression."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ValueError(f"its {path.stat().st_size:,} bytes unpack to {unpacked:,}")


def _unwrap(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters, from under the name that a training program gives all of them."""
    for name in (*_WRAPPERS, *content):
        inner = content.get(name)
        if isinstance(inner, dict) and any(isinstance(value, Tensor) for value in inner.values()):
            # The average of torch.optim.swa_utils counts how many it is of.
            return {str(key): value for key, value in inner.items() if key != "n_averaged"}
    return content


def is_plain(value: object) -> bool:
    """Whether a value is a tensor each element of which lies in memory."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and not (value.is_nested or value.is_meta or value.is_quantized)
        # One that is expanded could name a shape that no memory holds.
        and value.nelement() * value.element_size() <= value.untyped_storage().nbytes()
    )


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def _is_equal(value: Tensor, own: Tensor) -> bool:
    return value.shape == own.shape and torch.equal(value.to(own), own)


def _compare_fields(network: Restorer, stored: Mapping[str, Tensor]) -> list[str]:
    """The fields of the configuration in which parameters differ, where the network knows them."""
    recognize = getattr(network, "recognize", None)
    config = getattr(network, "config", None)
    return [
        f"{field} is {quote(value)} in the file, {getattr(config, field)!r} in the network"
        for field, value in (recognize(stored) if recognize else {}).items()
        if value != getattr(config, field)
    ]


def _shape(tensor: Tensor) -> list[int]:
    return list(tensor.shape)


def _list(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    all_names = list(names)
    more = f" and {len(all_names) - _SHOWN} more" if len(all_names) > _SHOWN else ""
    return ", ".join(shorten(name, _LONGEST) for name in all_names[:_SHOWN]) + more
