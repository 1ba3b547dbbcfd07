"""What a key-graph looks like: hubs, tokens that nobody attends to, keys that neighbors share."""

from __future__ import annotations

from torch import Tensor

from kgt import KeyGraph

GROUPS = (4, 8, 16, 64)


def count_queries_per_key(graph: KeyGraph) -> Tensor:
    """In-degrees, int64 [W, N]: how many nodes have each node among their keys."""
    return graph.to_mask().sum(1)


def largest_in_degree(graph: KeyGraph) -> float:
    """Share of a window's nodes that have its most chosen node as a key, mean over windows."""
    return count_queries_per_key(graph).amax(-1).double().mean().item() / graph.nodes


def unused_share(graph: KeyGraph) -> float:
    """Share of the nodes that are nobody's key."""
    return (count_queries_per_key(graph) == 0).double().mean().item()


def union_over_k(graph: KeyGraph, queries: int) -> float:
    """Mean number of distinct keys of that many successive queries in raster order, in units of K.

    The last group of a window is left out where it is shorter; with fewer nodes than `queries`,
    the group is the window.
    """
    size = min(queries, graph.nodes)
    groups = graph.nodes // size
    mask = graph.to_mask()[:, : groups * size].unflatten(1, (groups, size))
    return mask.any(2).sum(-1).double().mean().item() / graph.k


def describe_structure(graph: KeyGraph) -> dict[str, float]:
    """Every figure of this module by name."""
    return {
        "largest_in_degree": largest_in_degree(graph),
        "nobodys_key": unused_share(graph),
        **{f"union_{size}_over_k": union_over_k(graph, size) for size in GROUPS},
    }
