"""Networks as their authors wrote them, through spandrel: built anew, or from a checkpoint.

spandrel is imported where it is used: it loads some forty architectures, which takes seconds.
"""

from __future__ import annotations

from textwrap import shorten
from typing import Any, cast

from torch import Tensor, nn

from kgt.checkpoints import Checkpoint
from kgt.contract import UNKNOWN, Restorer


class PublishedNetwork(nn.Module):
    """A network of any architecture that spandrel knows, for inference.

    Args:
        descriptor: spandrel's `ImageModelDescriptor`, which holds the network and knows its
            scale, channels and size requirements.
    """

    provenance = UNKNOWN

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.network = descriptor.model
        self.scale: int = descriptor.scale
        self.in_channels: int = descriptor.input_channels
        self.task = "restoration" if descriptor.purpose == "Restoration" else "sr"
        self.size_multiple: int = descriptor.size_requirements.multiple_of
        self._descriptor = descriptor

    def forward(self, x: Tensor) -> Tensor:
        """Restore [B, C, h, w] in [0, 1] to [B, C', scale * h, scale * w], clipped to [0, 1].

        Runs without gradients and in evaluation mode.
        """
        return self._descriptor(x)


def open_published(checkpoint: Checkpoint) -> PublishedNetwork:
    """The network of a checkpoint, whose architecture is recognized by its parameters.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        ValueError: naming the file, when its architecture is not among spandrel's, parameters are
            missing or left over, it does not map an image to an image, or spandrel is missing.
    """
    path, weights = checkpoint.path, dict(checkpoint.tensors)
    try:
        import spandrel
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{path} is not of a network of ours; those that spandrel knows need "
            "pip install 'kgt[bench]'"
        ) from error
    try:
        descriptor = spandrel.ModelLoader().load_from_state_dict(weights)
    except spandrel.UnsupportedModelError as error:
        raise ValueError(
            f"{path} does not say which network it is of, and spandrel {spandrel.__version__} "
            f"recognizes none; its parameters begin with {', '.join(sorted(weights)[:3])}. Name "
            "the model that they are of"
        ) from error
    # An architecture is guessed by a few names and its shape computed from the parameters, which
    # fails anywhere when others are missing.
    except Exception as error:
        reason = shorten(f"{type(error).__name__}: {error}", 300)
        raise ValueError(
            f"{path} looks like an architecture that spandrel {spandrel.__version__} knows, but "
            f"its parameters do not fit it: {reason}"
        ) from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise ValueError(f"{path} holds a network that takes more than an image, such as a mask")
    return PublishedNetwork(descriptor).eval()


def describe(
    network: nn.Module, in_channels: int, size_multiple: int, scale: int = 1, task: str = "sr"
) -> Restorer:
    """The authors' module as a restorer: with the attributes that every baseline has."""
    attributes = {
        "scale": scale,
        "in_channels": in_channels,
        "size_multiple": size_multiple,
        "task": task,
        "provenance": UNKNOWN,
    }
    for name, value in attributes.items():
        setattr(network, name, value)
    return cast(Restorer, network)
