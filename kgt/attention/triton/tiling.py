"""Forms of a key-graph that the Triton kernels read: rows of keys, the inverse, tiles of tokens."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kgt.attention.key_graph import PADDING, KeyGraph

TILE = 32  # tokens of a tile: the bits of an int32
SLOTS = 64  # a union is padded to a multiple of it


class Keys(NamedTuple):
    """The keys of every query: int32 [W, N, K], padded with -1."""

    indices: Tensor

    @property
    def length(self) -> int:
        """Entries of a row."""
        return self.indices.shape[-1]


class Inverse(NamedTuple):
    """The queries of every key: those of key j are queries[w, offsets[w, j] : offsets[w, j + 1]].

    offsets is int32 [W, N + 1]; queries int32 [W, N * K], ascending for each key.
    """

    offsets: Tensor
    queries: Tensor

    @property
    def length(self) -> int:
        """Entries of a window."""
        return self.queries.shape[-1]


class Tiles(NamedTuple):
    """The union of the tokens that any token of a tile of TILE neighbors is connected with.

    order, int32 [T * TILE], lists the tokens of tile 0, of tile 1, and so on, then N for none.
    union and words are int32 [W, T, S] for T tiles: bit t of a word is set where token t of the
    tile is connected with the union's token there. counts, int32 [W, T], are the sizes of the
    unions; from there on words are 0.
    """

    order: Tensor
    union: Tensor
    words: Tensor
    counts: Tensor

    @property
    def length(self) -> int:
        """Entries of a tile's union, padded."""
        return self.union.shape[-1]


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
    return _unite(graph, _queries_of_keys(graph))


def tile_queries(graph: KeyGraph) -> Tiles:
    """Tiles of keys, over the union of the queries that chose them."""
    return _unite(graph, _keys_of_queries(graph))


def _queries_of_keys(graph: KeyGraph) -> Tensor:
    """int32 [W, T, N]: which queries of each tile chose each token."""
    rank = order_tokens(graph.nodes).argsort().to(graph.indices.device)
    position = graph.safe_indices().add_((rank // TILE * graph.nodes)[:, None])
    bits = (torch.ones_like(rank, dtype=torch.int32) << (rank % TILE).int())[:, None]
    return _add_bits(graph, position, bits.expand_as(graph.indices))


def _keys_of_queries(graph: KeyGraph) -> Tensor:
    """int32 [W, T, N]: which keys of each tile each token chose."""
    rank = order_tokens(graph.nodes).argsort().to(graph.indices.device)
    queries = torch.arange(graph.nodes, device=rank.device)[:, None]
    position = rank[graph.safe_indices()]
    bits = torch.ones_like(graph.indices) << (position % TILE).int()
    position = position.div_(TILE, rounding_mode="floor").mul_(graph.nodes).add_(queries)
    return _add_bits(graph, position, bits)


def _add_bits(graph: KeyGraph, position: Tensor, bits: Tensor) -> Tensor:
    """Words [W, T, N] with the bits of all edges at their positions in [T, N]."""
    valid = graph.valid()
    bits = bits if valid is None else bits * valid
    words = graph.indices.new_zeros(graph.windows, -(-graph.nodes // TILE) * graph.nodes)
    # Edges differ in their bit or their word, so adding is or-ing.
    words.scatter_add_(1, position.flatten(1), bits.flatten(1))
    return words.view(graph.windows, -1, graph.nodes)


def _unite(graph: KeyGraph, words: Tensor) -> Tiles:
    """Keep the tokens of [W, T, N] that have a bit, in ascending order."""
    met = words != 0
    counts = met.sum(-1, dtype=torch.int32)
    slots = -(-int(counts.max()) // SLOTS) * SLOTS
    union = met.byte().argsort(dim=-1, descending=True, stable=True)[..., :slots]
    padding = (0, slots - union.shape[-1])
    order = order_tokens(graph.nodes).int().to(words.device)
    return Tiles(
        F.pad(order, (0, words.shape[1] * TILE - graph.nodes), value=graph.nodes),
        F.pad(union.int(), padding),
        F.pad(words.gather(-1, union), padding),
        counts,
    )
