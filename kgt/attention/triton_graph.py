"""What the Triton kernels derive from a key-graph: its inverse, and unions of tiles of tokens."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kgt.graph import PADDING, KeyGraph

TILE = 32  # tokens of a tile: the bits of an int32
SLOTS = 64  # a union is padded to a multiple of it


class Inverse(NamedTuple):
    """The queries of every key: those of key j are queries[w, offsets[w, j] : offsets[w, j + 1]].

    offsets is int32 [W, N + 1]; queries int32 [W, N * K], ascending for each key.
    """

    offsets: Tensor
    queries: Tensor


class Tiles(NamedTuple):
    """The union of the tokens that any of TILE neighboring tokens is connected with.

    union and words are int32 [W, T, S] for T tiles: bit t of a word tells whether token t of the
    tile is connected with the union's token there. counts, int32 [W, T], are the sizes of the
    unions; from there on words are 0.
    """

    union: Tensor
    words: Tensor
    counts: Tensor


def invert(graph: KeyGraph) -> Inverse:
    """The queries of every key, by a stable sort."""
    windows, nodes, k = graph.indices.shape
    keys = graph.indices.flatten(1)
    keys = torch.where(keys == PADDING, nodes, keys)  # padding goes last, past the last offset
    keys, order = keys.sort(dim=-1, stable=True)
    numbers = torch.arange(nodes + 1, dtype=torch.int32, device=keys.device)
    offsets = torch.searchsorted(keys, numbers.expand(windows, -1).contiguous(), out_int32=True)
    return Inverse(offsets, (order // k).int())


def tile_keys(graph: KeyGraph) -> Tiles:
    """Tiles of queries, over the union of their keys."""
    tokens = torch.arange(graph.nodes, device=graph.indices.device)[:, None]
    return _tile(graph, tokens, graph.safe_indices())


def tile_queries(graph: KeyGraph) -> Tiles:
    """Tiles of keys, over the union of the queries that chose them."""
    tokens = torch.arange(graph.nodes, device=graph.indices.device)[:, None]
    return _tile(graph, graph.safe_indices(), tokens)


def _tile(graph: KeyGraph, token: Tensor, other: Tensor) -> Tiles:
    """Tiles of `token` over unions of `other`, both int64 and broadcastable to [W, N, K]."""
    windows, nodes, _ = graph.indices.shape
    tiles = -(-nodes // TILE)
    # Edges differ in their bit or their word, so adding is or-ing; padding adds nothing.
    bit = torch.ones_like(graph.indices) << (token % TILE).int()
    valid = graph.valid()
    bit = bit if valid is None else bit * valid
    words = bit.new_zeros(windows, tiles * nodes)
    position = token // TILE * nodes + other
    words.scatter_add_(1, position.expand_as(bit).flatten(1), bit.flatten(1))
    words = words.view(windows, tiles, nodes)
    met = words != 0
    counts = met.sum(-1, dtype=torch.int32)
    slots = -(-int(counts.max()) // SLOTS) * SLOTS
    order = met.byte().argsort(dim=-1, descending=True, stable=True)[..., :slots]
    padding = (0, slots - order.shape[-1])
    return Tiles(F.pad(order.int(), padding), F.pad(words.gather(-1, order), padding), counts)
