"""The Key-Graph Transformer for image restoration (arXiv 2402.02634).

A name is imported with its module when it is first used: commands start without torch.
"""

from typing import TYPE_CHECKING

from kgt.lazy import find_in

if TYPE_CHECKING:
    from kgt.attention import key_graph_attention, list_backends
    from kgt.attention.graph import KSampler, build_key_graph
    from kgt.attention.key_graph import KeyGraph
    from kgt.config import KGTConfig
    from kgt.export import export_network
    from kgt.network.model import KGT
    from kgt.pictures.picture import Picture
    from kgt.restoring import restore_file, restore_picture
    from kgt.tiles.bands import restore, restore_bands
    from kgt.tiles.plan import plan_tiles
    from kgt.video.restoring import restore_clip
    from kgt.zoo import build_model, create_model, list_models

__version__ = "0.1.0"

_HOMES = {
    "KGT": "network.model",
    "KGTConfig": "config",
    "KSampler": "attention.graph",
    "KeyGraph": "attention.key_graph",
    "Picture": "pictures.picture",
    "build_key_graph": "attention.graph",
    "build_model": "zoo",
    "create_model": "zoo",
    "export_network": "export",
    "key_graph_attention": "attention",
    "list_backends": "attention",
    "list_models": "zoo",
    "plan_tiles": "tiles.plan",
    "restore": "tiles.bands",
    "restore_bands": "tiles.bands",
    "restore_clip": "video.restoring",
    "restore_file": "restoring",
    "restore_picture": "restoring",
}
__all__ = [*_HOMES]
__getattr__ = find_in(__name__, _HOMES)
