import copy

import pytest
import torch

import baselines
import kgt

FIELDS = {"embed_dim": 12, "heads": 3, "window": 4, "depths": (1, 2), "bias_hidden": 8}


U_FIELDS = {"embed_dim": 12, "heads": 3, "level_windows": (4, 2), "bias_hidden": 8}


@pytest.mark.parametrize("size", [(8, 8), (9, 14)])
@pytest.mark.parametrize("bias", ["continuous", "none"])
@pytest.mark.parametrize(
    ("name", "fields"), [("kgt-tiny-x2", FIELDS), ("kgt-tiny-denoise-color", U_FIELDS)]
)
def test_twin_equals_kgt_with_every_node_connected(name, fields, size, bias):
    torch.manual_seed(0)
    network = kgt.create_model(name, k=16, position_bias=bias, **fields).double()
    twin = baselines.create_model(f"{name}-dense", position_bias=bias, **fields).double()
    twin.load_state_dict(network.state_dict())
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    results = [net(x) for net in (network, twin)]
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=1e-11)
    gradients = [
        torch.autograd.grad(out.square().sum(), net.parameters())
        for out, net in zip(results, (network, twin), strict=True)
    ]
    for expected, result in zip(*gradients, strict=True):
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-8)


def test_training_by_the_native_kernels_has_the_gradients_of_torch():
    torch.manual_seed(0)
    twin = baselines.create_model("kgt-tiny-denoise-color-dense", **U_FIELDS)
    x, results = torch.rand(2, 3, 9, 14), []
    for network in (twin, copy.deepcopy(twin).double()):
        out = network(x.to(next(network.parameters()).dtype))
        gradients = torch.autograd.grad(out.square().sum(), network.parameters())
        results.append([out.detach(), *gradients])
    for ours, exact in zip(*results, strict=True):
        assert (ours - exact).abs().max() <= 1e-4 * exact.abs().max() + 1e-5


def test_every_preset_has_a_twin():
    assert {f"{name}-dense" for name in kgt.list_models()} <= set(baselines.list_models())


def test_the_twin_is_one_graph_when_compiled():
    twin = baselines.create_model("kgt-tiny-x2-dense", **FIELDS).eval()
    x = torch.rand(2, 3, 9, 14)
    with torch.no_grad():
        compiled = torch.compile(twin, backend="eager", fullgraph=True)(x)
        torch.testing.assert_close(compiled, twin(x), rtol=0, atol=1e-5)
