"""Linear maps fused with what follows them: an activation, or the sum with a residual.

In inference on a CPU, oneDNN computes both in the pass that writes the product; elsewhere they are
operations of their own. The values are the same.
"""

from __future__ import annotations

from math import prod
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

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
    fuses = _fuses(x, weight)
    if fuses and residual is None:
        return _POINTWISE(x, weight, bias, activation, [], "none")  # type: ignore[misc]
    if fuses and activation == "none":
        return _POINTWISE.binary(x, residual, weight, bias, "add")  # type: ignore[union-attr]
    y = _ACTIVATIONS[activation](F.linear(x, weight, bias))
    return y if residual is None else residual + y


def _fuses(x: Tensor, weight: Tensor) -> bool:
    # A compiler fuses by itself, and takes no operator of oneDNN from a caller.
    return (
        not torch.compiler.is_compiling()
        and _POINTWISE is not None
        and torch.backends.mkldnn.is_available()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


def _count_flops(x: Any, *_: Any, out_shape: Any, **__: Any) -> int:
    return 2 * prod(x) * out_shape[-1]


if _POINTWISE is not None:
    register_flop_formula(_POINTWISE)(_count_flops)
