"""The Key-Graph Transformer for image restoration (arXiv 2402.02634)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kgt.attention import key_graph_attention, list_backends
from kgt.config import KGTConfig
from kgt.graph import KeyGraph, KSampler, build_key_graph
from kgt.inference import plan_tiles, restore, restore_bands, restore_to_png
from kgt.model import KGT
from kgt.zoo import build_model, create_model, list_models

if TYPE_CHECKING:
    from kgt.pictures import Picture
    from kgt.restoring import restore_picture

__version__ = "0.1.0"

__all__ = [
    "KGT",
    "KGTConfig",
    "KSampler",
    "KeyGraph",
    "Picture",
    "build_key_graph",
    "build_model",
    "create_model",
    "key_graph_attention",
    "list_backends",
    "list_models",
    "plan_tiles",
    "restore",
    "restore_bands",
    "restore_picture",
    "restore_to_png",
]

_WITH_PILLOW = {"Picture": "kgt.pictures", "restore_picture": "kgt.restoring"}


def __getattr__(name: str) -> Any:
    """Load what needs Pillow when it is first asked for."""
    if name in _WITH_PILLOW:
        return getattr(import_module(_WITH_PILLOW[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
