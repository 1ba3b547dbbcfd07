import pytest
import torch

import baselines
import kgt

FIELDS = {"embed_dim": 12, "heads": 3, "window": 4, "depths": (1, 2), "bias_hidden": 8}


@pytest.mark.parametrize("size", [(4, 4), (9, 14)])
@pytest.mark.parametrize("bias", ["continuous", "none"])
def test_twin_equals_kgt_with_every_node_connected(size, bias):
    torch.manual_seed(0)
    network = kgt.create_model("kgt-tiny-x2", k=16, position_bias=bias, **FIELDS).double()
    twin = baselines.create_model("kgt-tiny-x2-dense", position_bias=bias, **FIELDS).double()
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


def test_every_columnar_preset_has_a_twin():
    columnar = {name for name in kgt.list_models() if name[-2] == "x"}
    assert {f"{name}-dense" for name in columnar} <= set(baselines.list_models())
