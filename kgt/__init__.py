"""The Key-Graph Transformer for image restoration (arXiv 2402.02634)."""

from kgt.attention import key_graph_attention, list_backends
from kgt.config import KGTConfig
from kgt.graph import KeyGraph, KSampler, build_key_graph
from kgt.inference import plan_tiles, restore, restore_bands, restore_to_png
from kgt.model import KGT
from kgt.zoo import build_model, create_model, list_models

__version__ = "0.1.0"

__all__ = [
    "KGT",
    "KGTConfig",
    "KSampler",
    "KeyGraph",
    "build_key_graph",
    "build_model",
    "create_model",
    "key_graph_attention",
    "list_backends",
    "list_models",
    "plan_tiles",
    "restore",
    "restore_bands",
    "restore_to_png",
]
