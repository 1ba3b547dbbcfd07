"""The models KGT is compared with, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from os import PathLike
from pathlib import Path
from pkgutil import iter_modules
from textwrap import shorten
from typing import Any, TypeVar

import baselines
from baselines.pretrained import Weights
from kgt.checkpoints import load_named
from kgt.contract import Restorer, as_module, has_parameters
from kgt.errors import quote, unknown
from kgt.fields import check_size, convert
from kgt.pretrained import find_weights

Constructor = TypeVar("Constructor", bound=Callable[..., Restorer])

# Data, no package: NAME.safetensors and a card NAME.md for each model whose weights ship here.
WEIGHTS = Path(__file__).parent / "weights"

_MODELS: dict[str, tuple[Callable[..., Restorer], dict[str, Any]]] = {}
_WEIGHTS: dict[str, Weights] = {}


def register(
    name: str, *, weights: Weights | None = None, **defaults: Any
) -> Callable[[Constructor], Constructor]:
    """Enter a model under a name.

    Args:
        name: lower-case, with hyphens.
        weights: published weights, for a model that has them. No field may then change the shape
            of a parameter. Those in the folder `WEIGHTS` are found by name.
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


def list_models(pretrained: bool = False) -> list[str]:
    """Name all registered models, sorted.

    Args:
        pretrained: only those with trained weights.
    """
    trained = trained_weights()
    return sorted(name for name in _MODELS if name in trained or not pretrained)


def model_fields(name: str) -> dict[str, Any]:
    """The fields that `create_model(name)` lets its caller override, with their defaults.

    Raises:
        ValueError: for an unknown name, listing the valid ones.
    """
    return dict(_lookup(name)[1])


def create_model(
    name: str, pretrained: bool | str | PathLike[str] = False, **overrides: Any
) -> Restorer:
    """Build a registered model; its weights are random unless trained ones are asked for.

    Args:
        name: one of `list_models()`.
        pretrained: load the trained weights that ship with this package, or published ones, which
            are fetched at first use; or those of a file, of a training here or of any program that
            writes the parameters by name. A model without parameters is complete as it is.
        **overrides: fields of the model's configuration to change; with trained weights that ship
            or are published, none that changes the shape of a parameter.

    Returns:
        The model.

    Raises:
        ValueError: for an unknown name or field (the message lists the valid ones), a value the
            model refuses, `pretrained=True` where no weights can be had (as
            `WeightsUnavailableError` where they exist but cannot be fetched), or a file that cannot
            be read or is of another network, saying what differs.
    """
    constructor, defaults = _lookup(name)
    for field in overrides.keys() - defaults.keys():
        raise unknown(f"field of {name}", field, sorted(defaults))
    model = _build(name, constructor, defaults, overrides)
    if isinstance(pretrained, (str, PathLike)):
        registered = {own: fields for own, (_, fields) in _MODELS.items()}
        load_named(model, pretrained, name, overrides, registered)
    elif pretrained and has_parameters(model):
        trained = trained_weights()
        if name not in trained:
            raise ValueError(
                f"no trained weights are shipped for {name}; models that have some: "
                f"{', '.join(sorted(trained))}. pretrained=FILE (--weights FILE) takes your own"
            )
        trained[name].load_into(model)
    return model


def _build(
    name: str, constructor: Callable[..., Restorer], defaults: dict[str, Any], given: dict[str, Any]
) -> Restorer:
    converted = {
        field: convert(field, value, value if defaults[field] is None else defaults[field])
        for field, value in given.items()
    }
    build = partial(constructor, **{**defaults, **converted})
    if given:
        check_size(lambda: as_module(build()), name)
    try:
        return build()
    except ValueError:
        raise
    # Networks of others fail anywhere on values that they were not written for.
    except Exception as error:
        if not given:
            raise
        reason = shorten(f"{type(error).__name__}: {error}", 200, placeholder=" ...")
        raise ValueError(f"{name} cannot be built with {quote(converted)}: {reason}") from error


def trained_weights() -> dict[str, Weights]:
    """Trained weights by model: those that ship with this package, and published ones."""
    _load_all()
    return {**find_weights(WEIGHTS), **_WEIGHTS}


@cache
def _load_all() -> None:
    """Import the modules of this package, which register their models."""
    for module in iter_modules(baselines.__path__):
        if module.name != "__main__":
            import_module(f"baselines.{module.name}")


def _lookup(name: str) -> tuple[Callable[..., Restorer], dict[str, Any]]:
    _load_all()
    if name not in _MODELS:
        raise unknown("model", name, list_models())
    return _MODELS[name]
