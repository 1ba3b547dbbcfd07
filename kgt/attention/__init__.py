"""Key-graph attention behind one function and one registry of backends."""

from __future__ import annotations

from torch import Tensor

from kgt.attention.backend import Backend
from kgt.attention.call import AttentionCall, AttentionShape
from kgt.attention.key_graph import KeyGraph
from kgt.attention.registry import choose_backend, get_backend, list_backends


def key_graph_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    graph: KeyGraph,
    bias: Tensor | None = None,
    backend: str = "auto",
    *,
    scale: float | None = None,
    byte_budget: int | None = None,
) -> Tensor:
    """Softmax attention of every token over its keys in the graph (KGT, Sec. 3).

    Args:
        q: queries [W, H, N, D] (windows, heads, tokens, head dimension); any strides.
        k: keys, like q.
        v: values, like q.
        graph: the keys of every token, shared by the heads.
        bias: relative-offset table [H, 2M-1, 2M-1] added to the scores, N = M * M; or None.
        backend: a name of `list_backends()`, or "auto". A named backend runs or raises.
        scale: factor of the scores; None is 1 / sqrt(D).
        byte_budget: bytes a backend that works in chunks may hold at a time; None is the backend's
            own default, 0 lets it take all queries at once. Backends without chunks do not use it.

    Returns:
        [W, H, N, D].

    Raises:
        ValueError: when shapes or types do not fit, or with every reason why the backend cannot
            attend in this shape.
    """
    call = AttentionCall.describe(q, k, v, graph, bias, scale=scale, byte_budget=byte_budget)
    return choose_backend(call.shape, backend).attend(call)


__all__ = [
    "AttentionCall",
    "AttentionShape",
    "Backend",
    "choose_backend",
    "get_backend",
    "key_graph_attention",
    "list_backends",
]
