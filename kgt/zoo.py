"""Models by name."""

from __future__ import annotations

from torch import nn

from kgt.config import PRESETS, KGTConfig, preset
from kgt.model import KGT, ColumnarKGT, UShapedKGT


def list_models() -> list[str]:
    """Names that `create_model` takes, sorted."""
    return sorted(PRESETS)


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
    name: str, pretrained: bool = False, *, backend: str = "auto", **overrides: object
) -> KGT:
    """Build a named network.

    Args:
        name: a name of `list_models()`.
        pretrained: load trained weights; none are shipped yet, so True is refused.
        backend: attention backend, or "auto".
        **overrides: fields of `KGTConfig` to replace, e.g. `k=128` or `in_channels=1`.

    Raises:
        ValueError: for an unknown name, field or backend, listing the valid ones, and for
            `pretrained=True`.
    """
    config = preset(name, **overrides)
    if pretrained:
        raise ValueError(
            f"no trained weights ship for {name!r}; create it with pretrained=False and load "
            "your own with load_state_dict"
        )
    network = build_model(config)
    network.set_backend(backend)
    return network
