"""What any restorer promises, whether it is a network, a classical method or a wrapper of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

UNKNOWN: Mapping[str, str] = {}
"""The provenance of weights of which nothing is known."""


@runtime_checkable
class Restorer(Protocol):
    """Maps images [B, in_channels, h, w] in [0, 1] to [B, C, scale * h, scale * w].

    Attributes:
        scale: output size over input size.
        in_channels: channels of the images.
        size_multiple: multiple of pixels that it pads its input to, and the grid of its tiles.
        task: what it is for, e.g. "sr" or "denoise".
        provenance: what is known of the training of its weights; empty where nothing is.
        training: whether it is in training mode, as of `torch.nn.Module`.
    """

    scale: int
    in_channels: int
    size_multiple: int
    task: str
    provenance: Mapping[str, str]
    training: bool

    def __call__(self, x: Tensor) -> Tensor:
        """Restore a batch.

        Raises:
            ValueError: for an input that it does not take; where the code is that of a network's
                authors, a RuntimeError of theirs.
        """

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Its parameters; none of a classical method."""

    def modules(self) -> Iterator[nn.Module]:
        """Itself and all modules within it."""

    def state_dict(self) -> Mapping[str, Any]:
        """Parameters and buffers by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any:
        """Fill parameters and buffers by name; raises RuntimeError where they do not fit."""

    def train(self, mode: bool = True) -> Any:
        """Go into training mode, or out of it."""

    def eval(self) -> Any:
        """Go into evaluation mode."""

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move to a device or an element type."""


@runtime_checkable
class WholeImageRestorer(Restorer, Protocol):
    """A restorer whose first step must see the whole image; the rest may go tile by tile."""

    @property
    def body(self) -> Restorer:
        """What restores the result of `prepare`, or tiles of it."""

    def prepare(self, image: Tensor) -> Tensor:
        """The first step, from [B, in_channels, h, w] to [B, body.in_channels, h, w]."""


@torch.no_grad()
def split_whole(net: Restorer, image: Tensor) -> tuple[Restorer, Tensor]:
    """What restores an image tile by tile, and the image that tiles are cut from.

    Args:
        net: any restorer.
        image: [B, in_channels, h, w], the whole image.

    Returns:
        Of a restorer that must see the whole image, its body and the result of its first step; of
        any other, both arguments as they are.
    """
    if isinstance(net, WholeImageRestorer):
        return net.body, net.prepare(image)
    return net, image


def has_parameters(net: Restorer) -> bool:
    """Whether it is a network, which may be trained; a classical method has no parameters."""
    return next(net.parameters(), None) is not None


def as_module(net: Restorer) -> nn.Module:
    """The module that every restorer is, for what torch does with modules alone."""
    assert isinstance(net, nn.Module)
    return net
