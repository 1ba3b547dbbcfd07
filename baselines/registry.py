"""The models KGT is compared with, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

Constructor = TypeVar("Constructor", bound=Callable[..., nn.Module])

_MODELS: dict[str, tuple[Callable[..., nn.Module], dict[str, Any]]] = {}


def register(name: str, **defaults: Any) -> Callable[[Constructor], Constructor]:
    """Enter a model under a name.

    Args:
        name: lower-case, with hyphens.
        **defaults: every argument the constructor is called with; these are the fields that a
            caller of `create_model` may override.

    Returns:
        A decorator for the constructor, which it returns as it is.

    Raises:
        ValueError: when the name is taken.
    """

    def enter(constructor: Constructor) -> Constructor:
        if name in _MODELS:
            raise ValueError(f"a model named {name!r} is already registered")
        _MODELS[name] = (constructor, defaults)
        return constructor

    return enter


def list_models() -> list[str]:
    """Name all registered models, sorted."""
    return sorted(_MODELS)


def create_model(name: str, pretrained: bool = False, **overrides: Any) -> nn.Module:
    """Build a registered model with random weights.

    Args:
        name: one of `list_models()`.
        pretrained: refused: no trained weights are shipped for these models.
        **overrides: fields of the model's configuration to change.

    Returns:
        A module that maps [B, C, h, w] in [0, 1] to [B, C, scale * h, scale * w] and says so in
        its attributes `scale`, `in_channels` (C), `task` and `size_multiple` (the multiple of
        pixels that it pads its input to).

    Raises:
        ValueError: for an unknown name or field (the message lists the valid ones), a value the
            model refuses, or `pretrained=True`.
    """
    if name not in _MODELS:
        raise ValueError(f"unknown model {name!r}; valid names: {', '.join(list_models())}")
    constructor, defaults = _MODELS[name]
    unknown = sorted(overrides.keys() - defaults.keys())
    if unknown:
        raise ValueError(
            f"{name} has no field {', '.join(unknown)}; valid fields: {', '.join(sorted(defaults))}"
        )
    if pretrained:
        raise ValueError(
            f"no trained weights are shipped for {name}; build it without pretrained and call "
            "load_state_dict (baselines.swinir.load_official for the authors' SwinIR files), or "
            "open a published network with baselines.load_checkpoint(path)"
        )
    return constructor(**{**defaults, **overrides})
