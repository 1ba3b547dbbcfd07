from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kgt import build_key_graph, key_graph_attention
from kgt.attention import AttentionCall, get_backend
from kgt.attention.triton.backend import choose_kernel
from kgt.tiles.memory import LiveTensorBytes


@pytest.mark.parametrize("backend", ["torch-mask", "torch-gather"])
@pytest.mark.parametrize("k", [3, 16])
def test_closed_form_flops_equal_the_counted_ones(backend, k):
    graph = build_key_graph(torch.randn(2, 16, 4), k)
    q, key, v = torch.randn(3, 2, 3, 16, 5).unbind()
    with FlopCounterMode(display=False) as counter:
        key_graph_attention(q, key, v, graph, backend=backend, byte_budget=0)
    call = AttentionCall.describe(q, key, v, graph, byte_budget=0)
    cost = get_backend(backend).cost(call.shape)
    assert cost.flops == counter.get_total_flops()


def test_sdpa_flops_equal_the_counted_ones_on_the_meta_device():
    graph = build_key_graph(torch.randn(2, 16, 4), 16)
    q = torch.randn(2, 3, 16, 5)
    with FlopCounterMode(display=False) as counter:
        torch.nn.functional.scaled_dot_product_attention(*(q.to("meta"),) * 3)
    cost = get_backend("sdpa").cost(AttentionCall.describe(q, q, q, graph).shape)
    assert cost.flops == counter.get_total_flops()


@pytest.mark.parametrize("k", [8, 64, 256])
def test_triton_allocates_for_tiling_a_graph_what_the_closed_form_says(k):
    graph = build_key_graph(torch.randn(4, 256, 8), k)
    q = torch.randn(4, 1, 256, 1)
    shape = replace(AttentionCall.describe(q, q, q, graph).shape, device="cuda")
    cost = get_backend("triton").cost(shape)
    with LiveTensorBytes() as memory:
        choose_kernel(graph, q.dtype)
    shared_by_windows = 32 * graph.nodes
    assert memory.peak <= cost.peak_bytes + shared_by_windows
    assert memory.peak >= 0.6 * cost.peak_bytes
