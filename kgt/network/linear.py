"""Linear maps fused with what follows them: an activation, or the sum with a residual.

In inference on a CPU, oneDNN computes both in the pass that writes the product; elsewhere they are
operations of their own. The values are the same. In training on a CPU, oneDNN computes the product
and its gradients: torch's own way takes twice as long on an AMD processor with AVX-512.
"""

from __future__ import annotations

from math import prod
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from kgt.attention.compiling import is_traced

# What torch.compile lowers linear layers to; without oneDNN it does not exist.
_POINTWISE = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
_ACTIVATIONS = {"none": lambda y: y, "relu": F.relu, "gelu": F.gelu}


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    activation: Literal["none", "relu", "gelu"] = "none",
    residual: Tensor | None = None,
) -> Tensor:
    """The product of x [..., inputs], its activation, and the residual [..., outputs] added."""
    suits = _suits_onednn(x, weight)
    fuses = suits and not torch.is_grad_enabled()
    if fuses and residual is None:
        return _POINTWISE(x, weight, bias, activation, [], "none")  # type: ignore[misc]
    if fuses and activation == "none":
        return _POINTWISE.binary(x, residual, weight, bias, "add")  # type: ignore[union-attr]
    product = _Product.apply if suits else F.linear
    y = _ACTIVATIONS[activation](product(x, weight, bias))
    return y if residual is None else residual + y


class _Product(torch.autograd.Function):
    """x [..., inputs] times weight [outputs, inputs] plus bias; its gradients are products, too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _POINTWISE(x, weight, bias, "none", [], "")  # type: ignore[misc]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        rows = grad.flatten(0, -2)
        return (
            _Product.apply(grad, weight.t(), None) if needs_x else None,
            _Product.apply(rows.t(), x.flatten(0, -2).t(), None) if needs_weight else None,
            rows.sum(0) if needs_bias else None,
        )


def _suits_onednn(x: Tensor, weight: Tensor) -> bool:
    # A compiler fuses by itself, and takes no operator of oneDNN from a caller. Nor do tracers, the
    # transforms of torch.func, and derivatives in forward mode.
    return (
        not is_traced()
        and _POINTWISE is not None
        and torch.backends.mkldnn.is_available()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch.autograd.forward_ad._current_level < 0
    )


def _count_flops(x: Any, *_: Any, out_shape: Any, **__: Any) -> int:
    return 2 * prod(x) * out_shape[-1]


if _POINTWISE is not None:
    register_flop_formula(_POINTWISE)(_count_flops)
