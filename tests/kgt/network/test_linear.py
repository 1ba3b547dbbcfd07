import copy

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


def results(layer, x, residual):
    """The output, its gradients, and the gradients of a sum of those."""
    leaves = [x.detach().requires_grad_(), *layer.parameters()]
    out = linear(*leaves, activation="gelu", residual=residual)
    first = torch.autograd.grad(out.square().sum(), leaves, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), leaves)
    return [out, *first, *second]


def test_derivatives_equal_those_in_float64():
    layer, x, residual = tensors()
    exact = results(copy.deepcopy(layer).double(), x.double(), residual.double())
    for ours, truth in zip(results(layer, x, residual), exact, strict=True):
        assert (ours - truth).abs().max() <= 1e-5 * truth.abs().max()


def test_transforms_of_torch_find_the_same_derivatives():
    layer, x, _ = tensors()
    weight, bias = (parameter.detach() for parameter in layer.parameters())

    def loss(weight):
        return linear(x, weight, bias).square().sum()

    leaf = weight.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    torch.testing.assert_close(torch.func.grad(loss)(weight), gradient)
    _, along = torch.func.jvp(loss, (weight,), (gradient,))
    torch.testing.assert_close(along, gradient.square().sum())
    with torch.autograd.forward_ad.dual_level():
        dual = loss(torch.autograd.forward_ad.make_dual(weight, gradient))
        along = torch.autograd.forward_ad.unpack_dual(dual).tangent
    torch.testing.assert_close(along, gradient.square().sum())


def test_a_training_step_is_counted_three_times():
    layer, x, _ = tensors()
    with FlopCounterMode(display=False) as counter:
        linear(x.requires_grad_(), *layer.parameters()).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * 2 * 7 * 30 * 20


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
