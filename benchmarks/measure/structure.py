"""What a key-graph looks like: hubs, tokens that nobody attends to, keys that neighbors share.

And how it ages over the layers of a stage that share it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from kgt import KeyGraph
from kgt.network.layers import KGTStage
from kgt.network.model import KGT

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


def overlap(graph: KeyGraph, other: KeyGraph) -> float:
    """Share of the keys of a graph that another one of the same windows has, too."""
    own = graph.to_mask()
    return ((own & other.to_mask()).sum() / own.sum()).item()


@torch.no_grad()
def measure_overlap(network: KGT, images: Iterable[Tensor]) -> list[float]:
    """How much of its stage's graph each layer would still choose, of its own input.

    Args:
        network: in evaluation mode.
        images: [1, C, h, w] each, which the network restores.

    Returns:
        The overlap of the graph of the stage's input with that of the layer's, by depth in the
        stage, the mean over stages and images; 1 at depth 0.
    """
    found: dict[int, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        for module in network.modules():
            if isinstance(module, KGTStage):
                stack.enter_context(_watch(module, found))
        for image in images:
            network(image)
    return [fmean(found[depth]) for depth in sorted(found)]


@contextmanager
def _watch(stage: KGTStage, found: dict[int, list[float]]) -> Iterator[None]:
    """Note the overlap at every layer that runs."""
    connect = stage.connect
    regions: Tensor | None = None
    first: KeyGraph | None = None

    def remember(tokens: Tensor, of_windows: Tensor | None) -> KeyGraph:
        nonlocal regions
        regions = of_windows
        return connect(tokens, of_windows)

    def note(depth: int, tokens: Tensor, graph: KeyGraph) -> None:
        nonlocal first
        first = graph if depth == 0 or first is None else first
        found[depth].append(overlap(first, connect(tokens, regions)))

    def hook(depth: int) -> Any:
        return lambda _, arguments: note(depth, *arguments)

    stage.connect = remember  # type: ignore[method-assign, assignment]
    handles = [
        layer.register_forward_pre_hook(hook(depth)) for depth, layer in enumerate(stage.layers)
    ]
    try:
        yield
    finally:
        del stage.connect
        for handle in handles:
            handle.remove()
