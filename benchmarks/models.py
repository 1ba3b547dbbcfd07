"""Models of both packages by name, and weights from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import nn

import baselines
import kgt


def list_any_models() -> list[str]:
    """Names of the models of `kgt` and then of `baselines`."""
    return [*kgt.list_models(), *baselines.list_models()]


def create_any_model(name: str, **overrides: Any) -> nn.Module:
    """Create a model of `kgt` or, failing that, of `baselines`.

    Args:
        name: Model name.
        **overrides: Passed on to the `create_model` of its package.

    Raises:
        ValueError: Unknown name, or an override that the package refuses.
    """
    for package in (kgt, baselines):
        if name in package.list_models():
            return package.create_model(name, **overrides)
    raise ValueError(f"unknown model {name!r}; valid names: {', '.join(list_any_models())}")


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a safetensors file that has exactly the model's tensors.

    Raises:
        ValueError: The file is absent, not a safetensors file, or of another model.
    """
    try:
        load_model(model, path)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"cannot load {path}: {error}") from error
