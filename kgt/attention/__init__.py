"""Key-graph attention behind one function and one registry of backends."""

from __future__ import annotations

from torch import Tensor

from kgt.attention import flex, reference, sdpa, torch_gather, torch_mask
from kgt.attention.call import AttentionProblem, check_inputs, describe
from kgt.attention.graph import KeyGraph
from kgt.attention.native import backend as native
from kgt.attention.registry import Backend, choose_backend, get_backend, list_backends, register
from kgt.attention.triton import backend as triton

for _module in (reference, torch_mask, torch_gather, sdpa, flex, native, triton):
    register(_module.BACKEND)


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
            do this problem.
    """
    check_inputs(q, k, v, graph, bias)
    chosen = choose_backend(describe(q, k, v, graph, bias, byte_budget), backend)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    return chosen.attend(q, k, v, graph, bias, scale, byte_budget)


__all__ = [
    "AttentionProblem",
    "Backend",
    "choose_backend",
    "get_backend",
    "key_graph_attention",
    "list_backends",
]
