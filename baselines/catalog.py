"""All models by name: those of kgt, and those that it is compared with."""

from __future__ import annotations

from dataclasses import asdict
from os import PathLike
from types import ModuleType
from typing import Any

import baselines
import kgt
from baselines import registry
from kgt import zoo
from kgt.config import preset
from kgt.contract import Restorer
from kgt.errors import unknown
from kgt.pretrained import ShippedWeights, find_weights


def list_any_models(pretrained: bool = False) -> list[str]:
    """Names of the models of `kgt` and then of `baselines`.

    Args:
        pretrained: only those with trained weights.
    """
    return [*kgt.list_models(pretrained), *baselines.list_models(pretrained)]


def create_any_model(
    name: str, pretrained: bool | str | PathLike[str] = False, **overrides: Any
) -> Restorer:
    """Create a model of `kgt` or of `baselines`; arguments and errors are those of its package."""
    return _package(name).create_model(name, pretrained, **overrides)


def list_fields(name: str) -> dict[str, Any]:
    """The fields of a model that its name may be followed by, with their values.

    Raises:
        ValueError: for an unknown name.
    """
    return asdict(preset(name)) if _package(name) is kgt else registry.model_fields(name)


def find_shipped(name: str) -> ShippedWeights | None:
    """The trained weights that come with the packages for a model, if there are any."""
    return find_weights(zoo.WEIGHTS).get(name) or find_weights(registry.WEIGHTS).get(name)


def _package(name: str) -> ModuleType:
    for package in (kgt, baselines):
        if name in package.list_models():
            return package
    raise unknown("model", name, list_any_models())
