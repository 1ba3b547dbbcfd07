"""A second objective, for training alone: to tell which pixels are degraded.

Where most pixels are as they should be (drops on the lens), the mean error has its easy minimum at
leaving all as it is, and a short training stays there. Telling what is degraded has a gradient from
the first step on, in the features that the restoration needs.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.training.start import find_last_convolution

# Differences above this, in a color, are seen: 8 steps of 8 bits and half a step for rounding.
_VISIBLE = 8.5 / 255


class Detecting(nn.Module):
    """A network of scale 1 and a head beside its last convolution, reading the same features.

    Args:
        model: a KGT or a SwinIR of scale 1; not changed, and of use without the head.

    Attributes:
        model: the network.
        head: one logit for each pixel.

    Raises:
        ValueError: when the model is of another kind.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._last, convolution = find_last_convolution(model)
        config: Any = model.config
        self._unshuffle = config.unshuffle
        self.head = nn.Conv2d(convolution.in_channels, self._unshuffle**2, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Restore x [B, C, H, W].

        Returns:
            What the network makes of it, [B, C, H, W], and the logits [B, H, W] of each pixel's
            being degraded.
        """
        seen: list[Tensor] = []
        convolution = self.model.get_submodule(self._last)
        with convolution.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs)):
            restored = self.model(x)
        logits = F.pixel_shuffle(self.head(seen[0]), self._unshuffle)
        return restored, logits[:, 0, : x.shape[2], : x.shape[3]]


def detection_loss(logits: Tensor, x: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of telling the pixels that are degraded.

    Args:
        logits: [B, H, W].
        x: what the network was given, [B, C, H, W] in [0, 1], perhaps with channels added to it.
        target: what it is to restore, [B, C, H, W].
    """
    # Fabric returns logits as float32; they are summed in the precision of the training.
    degraded = find_degraded(x, target).to(x.dtype)
    return F.binary_cross_entropy_with_logits(logits.to(x.dtype), degraded)


def find_degraded(x: Tensor, target: Tensor) -> Tensor:
    """Which pixels [..., H, W] of images [..., C, H, W] differ visibly, by 9 of 255 in a color."""
    difference = x[..., : target.shape[-3], :, :] - target
    return difference.abs().amax(dim=-3) > _VISIBLE
