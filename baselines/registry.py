"""The models KGT is compared with, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from baselines.checkpoints import read_weights
from baselines.pretrained import WheelWeights

Constructor = TypeVar("Constructor", bound=Callable[..., nn.Module])

_MODELS: dict[str, tuple[Callable[..., nn.Module], dict[str, Any]]] = {}
_WEIGHTS: dict[str, WheelWeights] = {}


def register(
    name: str, *, weights: WheelWeights | None = None, **defaults: Any
) -> Callable[[Constructor], Constructor]:
    """Enter a model under a name.

    Args:
        name: lower-case, with hyphens.
        weights: published weights, for a model that has them. No field may then change the shape
            of a parameter.
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
        if weights:
            _WEIGHTS[name] = weights
        return constructor

    return enter


def list_models() -> list[str]:
    """Name all registered models, sorted."""
    return sorted(_MODELS)


def model_fields(name: str) -> dict[str, Any]:
    """The fields that `create_model(name)` lets its caller override, with their defaults.

    Raises:
        ValueError: for an unknown name, listing the valid ones.
    """
    return dict(_lookup(name)[1])


def create_model(name: str, pretrained: bool = False, **overrides: Any) -> nn.Module:
    """Build a registered model; its weights are random unless published ones are asked for.

    Args:
        name: one of `list_models()`.
        pretrained: load the published weights, which are fetched at first use. A model without
            parameters is complete as it is.
        **overrides: fields of the model's configuration to change.

    Returns:
        A module that maps [B, C, h, w] in [0, 1] to [B, C, scale * h, scale * w] and says so in
        its attributes `scale`, `in_channels` (C), `task` and `size_multiple` (the multiple of
        pixels that it pads its input to).

    Raises:
        ValueError: for an unknown name or field (the message lists the valid ones), a value the
            model refuses, or `pretrained=True` where no weights can be had (as
            `WeightsUnavailableError` where they exist but cannot be fetched).
    """
    constructor, defaults = _lookup(name)
    unknown = sorted(overrides.keys() - defaults.keys())
    if unknown:
        raise ValueError(
            f"{name} has no field {', '.join(unknown)}; valid fields: {', '.join(sorted(defaults))}"
        )
    model = constructor(**{**defaults, **overrides})
    if pretrained and next(model.parameters(), None) is not None:
        if name not in _WEIGHTS:
            raise ValueError(
                f"no trained weights are shipped for {name}; models that have some: "
                f"{', '.join(sorted(_WEIGHTS))}. Build it without pretrained and call "
                "load_state_dict (baselines.load_official for the authors' SwinIR files), or "
                "open a published network with baselines.load_checkpoint(path)"
            )
        model.load_state_dict(read_weights(_WEIGHTS[name].fetch()))
    return model


def _lookup(name: str) -> tuple[Callable[..., nn.Module], dict[str, Any]]:
    if name not in _MODELS:
        raise ValueError(f"unknown model {name!r}; valid names: {', '.join(list_models())}")
    return _MODELS[name]
