import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from kgt.network.linear import linear

LAYER = nn.Linear(30, 20).double()


def tensors(dtype=torch.float32):
    x, residual = torch.randn(2, 7, 30, dtype=dtype), torch.randn(2, 7, 20, dtype=dtype)
    return LAYER.to(dtype), x, residual


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_operations_one_by_one(grad, dtype):
    layer, x, residual = tensors(dtype)
    product = F.linear(x.double(), layer.weight.double(), layer.bias.double())
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(linear(x, *layer.parameters()), product.to(dtype))
        for name, activation in (("gelu", F.gelu), ("relu", F.relu)):
            ours = linear(x, *layer.parameters(), activation=name)
            torch.testing.assert_close(ours, activation(product).to(dtype))
        added = (product + residual).to(dtype)
        torch.testing.assert_close(linear(x, *layer.parameters(), residual=residual), added)


def test_gradients_flow_through_the_layer_and_the_residual():
    layer, x, residual = tensors()
    leaves = [x.requires_grad_(), residual.requires_grad_(), layer.weight]
    grads = torch.autograd.grad(linear(x, *layer.parameters(), residual=residual).sum(), leaves)
    torch.testing.assert_close(grads[0], layer.weight.sum(0).expand_as(x))
    assert (grads[1] == 1).all()


def test_the_fused_pass_is_counted_and_autocast_goes_its_own_way():
    layer, x, residual = tensors()
    for forward in (
        lambda: linear(x, *layer.parameters(), activation="gelu"),
        lambda: linear(x, *layer.parameters(), residual=residual),
    ):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            forward()
        assert counter.get_total_flops() == 2 * 2 * 7 * 30 * 20
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert linear(x, *layer.parameters(), activation="gelu").dtype == torch.bfloat16
