"""The Key-Graph Transformer for image restoration (arXiv 2402.02634)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kgt.attention import key_graph_attention, list_backends
from kgt.attention.graph import KeyGraph, KSampler, build_key_graph
from kgt.config import KGTConfig
from kgt.network.model import KGT
from kgt.tiles.inference import plan_tiles, restore, restore_bands, restore_to_png
from kgt.zoo import build_model, create_model, list_models

if TYPE_CHECKING:
    from kgt.pictures.picture import Picture
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

_WITH_PILLOW = {"Picture": "kgt.pictures.picture", "restore_picture": "kgt.restoring"}


def __getattr__(name: str) -> Any:
    """Load what needs Pillow when it is first asked for."""
    if name in _WITH_PILLOW:
        return getattr(import_module(_WITH_PILLOW[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
