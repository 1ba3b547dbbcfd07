"""What the Triton kernels derive from a key-graph: its inverse, and unions of tiles of tokens."""

from __future__ import annotations

import math
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
    """The union of the tokens that any token of a tile of TILE neighbors is connected with.

    order, int32 [T * TILE], lists the tokens of tile 0, of tile 1, and so on, then N for none.
    union and words are int32 [W, T, S] for T tiles: bit t of a word tells whether token t of the
    tile is connected with the union's token there. counts, int32 [W, T], are the sizes of the
    unions; from there on words are 0.
    """

    order: Tensor
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


def order_tokens(nodes: int) -> Tensor:
    """Tokens int64 [N] in an order that makes neighbors in the window neighbors in the list.

    Blocks of 4 x 8 tokens of a square window share more keys than rows of 32: on photographs of
    32 x 32 tokens their unions are smaller by a quarter at k = 128. Other N keep their order.
    """
    side = math.isqrt(nodes)
    tokens = torch.arange(nodes)
    if side * side != nodes:
        return tokens
    y, x = tokens // side, tokens % side
    return ((y // 4 * side + x // 8) * nodes + tokens).argsort()


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
    order = order_tokens(nodes).to(token.device)
    rank = order.argsort()[token]
    # Edges differ in their bit or their word, so adding is or-ing; padding adds nothing.
    bit = torch.ones_like(graph.indices) << (rank % TILE).int()
    valid = graph.valid()
    bit = bit if valid is None else bit * valid
    words = bit.new_zeros(windows, tiles * nodes)
    position = rank // TILE * nodes + other
    words.scatter_add_(1, position.expand_as(bit).flatten(1), bit.flatten(1))
    words = words.view(windows, tiles, nodes)
    met = words != 0
    counts = met.sum(-1, dtype=torch.int32)
    slots = -(-int(counts.max()) // SLOTS) * SLOTS
    union = met.byte().argsort(dim=-1, descending=True, stable=True)[..., :slots]
    padding = (0, slots - union.shape[-1])
    return Tiles(
        F.pad(order, (0, tiles * TILE - nodes), value=nodes).int(),
        F.pad(union.int(), padding),
        F.pad(words.gather(-1, union), padding),
        counts,
    )
