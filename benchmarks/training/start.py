"""Where a training starts from."""

from __future__ import annotations

import torch
from torch import nn

# The same three places in both families of networks: first convolution, the one that closes the
# deep branch, and the head before pixel shuffle.
_PLACES = (("conv_in", "conv_body", "head.0"), ("conv_first", "conv_after_body", "upsample.0"))
_HEAD_NOISE = 0.1


@torch.no_grad()
def start_as_nearest(model: nn.Module) -> None:
    """Set a super-resolution network to nearest-neighbor interpolation.

    The shallow path carries the colors through unchanged, the deep branch adds zero. Learning this
    takes a short training most of its steps, and says nothing about an architecture.

    Args:
        model: a columnar KGT or a SwinIR with the "pixelshuffledirect" head.

    Raises:
        ValueError: when the model is of another kind.
    """
    modules = dict(model.named_modules())
    for names in _PLACES:
        found = [modules.get(name) for name in names]
        if all(isinstance(module, nn.Conv2d) for module in found):
            first, body, head = (module for module in found if isinstance(module, nn.Conv2d))
            break
    else:
        raise ValueError(
            f"{type(model).__name__} cannot start as nearest-neighbor interpolation: it has none "
            f"of {' or '.join(map(str, _PLACES))}; take a recipe with start: random"
        )
    colors = first.in_channels
    first.weight[:colors] = nn.init.dirac_(torch.empty_like(first.weight[:colors]))
    nn.init.zeros_(body.weight)
    head.weight.mul_(_HEAD_NOISE)
    subpixels = head.out_channels // colors
    for color in range(colors):
        head.weight[color * subpixels : (color + 1) * subpixels, color, 1, 1] += 1
    for convolution in (first, body, head):
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
