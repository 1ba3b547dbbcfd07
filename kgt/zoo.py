"""Models by name."""

from __future__ import annotations

from dataclasses import asdict
from os import PathLike
from pathlib import Path

from torch import nn

from kgt.checkpoints import load_named
from kgt.config import PRESETS, KGTConfig, preset
from kgt.fields import check_size, convert
from kgt.network.model import KGT, ColumnarKGT, UShapedKGT
from kgt.pretrained import find_weights

# Data, no package: NAME.safetensors and a card NAME.md for each model with trained weights.
WEIGHTS = Path(__file__).parent / "weights"


def list_models(pretrained: bool = False) -> list[str]:
    """Names that `create_model` takes, sorted.

    Args:
        pretrained: only those with trained weights.
    """
    trained = find_weights(WEIGHTS)
    return sorted(name for name in PRESETS if name in trained or not pretrained)


def initialize(module: nn.Module) -> None:
    """Set a linear layer's weights as Swin Transformers do; leave other modules as they are."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build_model(config: KGTConfig) -> KGT:
    """The network of a configuration, randomly initialized."""
    network: KGT = ColumnarKGT(config) if config.shape == "columnar" else UShapedKGT(config)
    return network.apply(initialize)


def create_model(
    name: str,
    pretrained: bool | str | PathLike[str] = False,
    *,
    backend: str = "auto",
    **overrides: object,
) -> KGT:
    """Build a named network.

    Args:
        name: a name of `list_models()`.
        pretrained: load the trained weights that ship with this package, or those of a file: what
            a training here wrote, or any that holds the network's parameters by name. The
            network's attribute `provenance` then describes their training.
        backend: attention backend, or "auto".
        **overrides: fields of `KGTConfig` to replace, e.g. `k=128` or `in_channels=1`. With
            trained weights that ship, none that changes the shape of a parameter.

    Raises:
        ValueError: for an unknown name, field or backend, listing the valid ones; with
            `pretrained=True` where no weights ship, listing the models that have some; and with
            weights that cannot be read or are of another network, saying what differs.
    """
    config = preset(name, **overrides)
    if overrides:
        check_size(lambda: build_model(config), name)
    network = build_model(config)
    network.set_backend(convert("backend", backend, "auto"))
    if isinstance(pretrained, (str, PathLike)):
        presets = {own: asdict(preset(own)) for own in PRESETS}
        load_named(network, pretrained, name, overrides, presets)
    elif pretrained:
        trained = find_weights(WEIGHTS)
        if name not in trained:
            raise ValueError(
                f"no trained weights ship for {name!r}; models that have some: "
                f"{', '.join(trained) or 'none yet'}. pretrained=FILE (--weights FILE) takes your "
                "own"
            )
        trained[name].load_into(network)
    return network
