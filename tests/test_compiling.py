"""torch.compile of the networks of both packages: one graph, one compilation per size, same values.

A key-graph is discrete: where two similarities are equal but for rounding, a compiled network may
choose the other key. So its values are compared along the graphs of the uncompiled one.
"""

import pytest
import torch
import torch.nn.functional as F
from torch._dynamo.testing import CompileCounterWithBackend

from kgt.attention import graph as graph_module
from tests.small_networks import NETWORKS, build

SIZES = [(16, 16), (19, 32)]


@pytest.fixture(params=NETWORKS)
def network(request):
    torch._dynamo.reset()
    yield build(request.param)
    torch._dynamo.reset()


@pytest.fixture
def same_graphs(monkeypatch):
    """Makes a network find the keys that the call before it found."""
    find, found, again = graph_module._find_keys, [], iter(())

    def find_or_repeat(*arguments):
        own = find(*arguments)
        earlier = next(again, None)
        if earlier is None:
            found.append(own)
            return own
        same = (own[0] == earlier[0]).all(-1)
        assert same.float().mean() > 0.99
        return earlier

    monkeypatch.setattr(graph_module, "_find_keys", find_or_repeat)

    def start(repeat):
        nonlocal again
        again = iter([*found] if repeat else ())
        found.clear()

    return start


def differentiate(network, call, x):
    """The output, and the gradients of a loss."""
    network.zero_grad()
    y = call(x)
    F.mse_loss(y, torch.ones_like(y)).backward()
    return y.detach(), [parameter.grad.clone() for parameter in network.parameters()]


def compile_and_count(network, backend):
    counter = CompileCounterWithBackend(backend)
    return torch.compile(network, backend=counter, fullgraph=True), counter


def compare_gradients(network, backend, same_graphs):
    compiled, counter = compile_and_count(network, backend)
    x = torch.rand(2, 3, *SIZES[1])
    same_graphs(repeat=False)
    exact = differentiate(network, network, x)
    same_graphs(repeat=True)
    found = differentiate(network, compiled, x)
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5)
    assert counter.frame_count == 1


def test_forward_passes_are_one_graph_without_breaks(network, same_graphs):
    compiled, counter = compile_and_count(network, "eager")
    for number, size in enumerate(SIZES, 1):
        x = torch.rand(2, 3, *size)
        with torch.no_grad():
            same_graphs(repeat=False)
            y = network(x)
            same_graphs(repeat=True)
            torch.testing.assert_close(compiled(x), y, rtol=0, atol=1e-5)
        assert counter.frame_count <= number


@pytest.mark.slow
def test_training_steps_are_one_graph_without_breaks(network, same_graphs):
    compare_gradients(network, "aot_eager", same_graphs)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["kgt-tiny-x4"], indirect=True)
def test_the_code_of_the_compiler_computes_the_same(network, same_graphs):
    compare_gradients(network, "inductor", same_graphs)


def test_values_are_checked_in_compiled_networks_too():
    compiled = torch.compile(build("kgt-tiny-x4"), backend="eager", fullgraph=True)
    with torch.no_grad(), pytest.raises(ValueError, match="NaN or infinite"):
        compiled(torch.full((1, 3, 16, 16), torch.nan))
