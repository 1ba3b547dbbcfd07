"""The Key-Graph Transformer for image restoration (arXiv 2402.02634).

A name is imported with its module when it is first used: commands start without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kgt.attention import key_graph_attention, list_backends
    from kgt.attention.graph import KeyGraph, KSampler, build_key_graph
    from kgt.config import KGTConfig
    from kgt.network.model import KGT
    from kgt.pictures.picture import Picture
    from kgt.restoring import restore_file, restore_picture
    from kgt.tiles.bands import restore, restore_bands
    from kgt.tiles.plan import plan_tiles
    from kgt.zoo import build_model, create_model, list_models

__version__ = "0.1.0"

_HOMES = {
    "KGT": "network.model",
    "KGTConfig": "config",
    "KSampler": "attention.graph",
    "KeyGraph": "attention.graph",
    "Picture": "pictures.picture",
    "build_key_graph": "attention.graph",
    "build_model": "zoo",
    "create_model": "zoo",
    "key_graph_attention": "attention",
    "list_backends": "attention",
    "list_models": "zoo",
    "plan_tiles": "tiles.plan",
    "restore": "tiles.bands",
    "restore_bands": "tiles.bands",
    "restore_file": "restoring",
    "restore_picture": "restoring",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"kgt.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
