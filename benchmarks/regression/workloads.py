"""What the paired tier times: calls of some milliseconds, so that hundreds of pairs fit in seconds.

The same file serves both commits. It uses only names that have always been public, and imports
them where they are needed: a commit that lacks one fails in the workloads that need it, in no
other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from kgt.contract import Restorer

Call = Callable[[], "Tensor"]


def list_benchmarks() -> dict[str, str]:
    """What each benchmark of the paired tier times, by name."""
    return {name: (make.__doc__ or "").splitlines()[0] for name, make in WORKLOADS.items()}


def _draw(*sizes: int) -> Tensor:
    import torch

    return torch.randn(sizes, generator=torch.Generator().manual_seed(0))


def make_graph() -> Call:
    """Key graph of one window: N = 1024, C = 180, k = 128."""
    from kgt import build_key_graph

    # In steps of 1/128 all products and sums are exact, so the graph has one right answer.
    tokens = (_draw(1, 1024, 180) * 128).round() / 128
    return lambda: build_key_graph(tokens, 128).indices


def make_attention() -> Call:
    """Attention of two windows, forward: N = 1024, k = 128, H = 6, D = 30."""
    import torch

    from kgt import build_key_graph, key_graph_attention

    graph = build_key_graph(_draw(2, 1024, 180), 128)
    q, k, v = _draw(3, 2, 6, 1024, 30).unbind()
    return torch.inference_mode()(lambda: key_graph_attention(q, k, v, graph))


def make_attention_backward() -> Call:
    """Attention of one window, forward and backward: N = 1024, k = 128, H = 3, D = 30."""
    import torch

    from kgt import build_key_graph, key_graph_attention

    graph = build_key_graph(_draw(1, 1024, 180), 128)
    q, k, v, gradient = _draw(4, 1, 3, 1024, 30).unbind()
    q, k, v = (t.clone().requires_grad_() for t in (q, k, v))

    def differentiate() -> Tensor:
        out = key_graph_attention(q, k, v, graph)
        return torch.stack(torch.autograd.grad(out, (q, k, v), gradient))

    return differentiate


def make_kgt() -> Call:
    """One stage of kgt-tiny-x4, with stem and head, on an image of 16x16 pixels."""
    from kgt import create_model

    return _restore(lambda: create_model("kgt-tiny-x4", depths=(2,)))


def make_swinir() -> Call:
    """One group of swinir-tiny-x4, with stem and head, on an image of 16x16 pixels."""
    from baselines import create_model

    return _restore(lambda: create_model("swinir-tiny-x4", depths=(2,)))


def _restore(create: Callable[[], Restorer]) -> Call:
    import torch

    torch.manual_seed(0)
    network, image = create().eval(), _draw(1, 3, 16, 16)
    return torch.inference_mode()(lambda: network(image))


WORKLOADS = {
    "graph": make_graph,
    "attention-forward": make_attention,
    "attention-backward": make_attention_backward,
    "kgt-tiny-x4": make_kgt,
    "swinir-tiny-x4": make_swinir,
}
