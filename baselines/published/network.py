"""Networks as their authors wrote them, through spandrel: built anew, or from a checkpoint.

spandrel is imported where it is used: it loads some forty architectures, which takes seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from baselines.checkpoints import read_weights
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


def load_checkpoint(path: str | Path) -> PublishedNetwork:
    """Open a checkpoint file; its architecture is recognized by its parameters.

    Args:
        path: a .safetensors file, or one that `torch.load` reads. Only tensors are read from it,
            no code is run.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: naming the file, when it cannot be read, carries code, is no checkpoint, its
            architecture is not among spandrel's, parameters are missing or left over, or it does
            not map an image to an image.
    """
    import spandrel

    weights = _unwrap(path)
    try:
        descriptor = spandrel.ModelLoader().load_from_state_dict(weights)
    except spandrel.UnsupportedModelError as error:
        raise ValueError(
            f"{path} holds no architecture that spandrel {spandrel.__version__} recognizes; its "
            f"parameters begin with {', '.join(sorted(weights)[:3])}. If its network can be built, "
            "load them with load_state_dict"
        ) from error
    # An architecture is guessed by a few names and its shape computed from the parameters, which
    # fails anywhere when others are missing.
    except Exception as error:
        raise ValueError(
            f"{path} looks like an architecture that spandrel {spandrel.__version__} knows, but "
            f"its parameters do not fit it: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise ValueError(f"{path} holds a network that takes more than an image, such as a mask")
    return PublishedNetwork(descriptor).eval()


def _unwrap(path: str | Path) -> dict[str, Tensor]:
    """The parameters by name, from under the names that training programs put around them."""
    import spandrel

    weights = spandrel.canonicalize_state_dict(read_weights(path))
    foreign = [str(name) for name, value in weights.items() if not isinstance(value, Tensor)]
    if foreign or not weights:
        raise ValueError(
            f"{path} is no checkpoint of a network: {', '.join(foreign[:3]) or 'it'} "
            "holds no tensor"
        )
    return weights


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
