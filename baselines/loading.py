"""Networks from files of weights that tell which network they are of."""

from __future__ import annotations

import os

import torch

from baselines.catalog import create_any_model, list_any_models
from baselines.official import recognize
from baselines.published import open_published
from baselines.swinir import SwinIR, SwinIRConfig
from kgt.checkpoints import Checkpoint, fill, read_checkpoint
from kgt.contract import Restorer


def load_checkpoint(path: str | os.PathLike[str]) -> Restorer:
    """Open the network that a file of weights is of.

    A training here says in its files what it trained, a SwinIR of the authors' code is known by its
    shapes, and any other by what spandrel knows, which the extra `bench` installs.

    Args:
        path: a .safetensors file, or one that `torch.load` reads. Only tensors are read from it,
            no code is run.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        ValueError: naming the file, when it cannot be read, carries code, is no checkpoint, is of a
            network that nobody here knows, or parameters are missing or left over.
    """
    checkpoint = read_checkpoint(path)
    described = checkpoint.parse_model()
    if described:
        name, fields = described
        if name in list_any_models():
            return create_any_model(name, path, **fields).eval()
    return _open_swinir(checkpoint) or open_published(checkpoint)


def _open_swinir(checkpoint: Checkpoint) -> Restorer | None:
    """Our SwinIR with these weights, None where it has none of these shapes."""
    fields = recognize(checkpoint.tensors)
    if fields.get("in_channels") not in (1, 3):
        return None
    # The authors' networks against JPEG, which alone have this window, were trained in 0..255.
    fields["img_range"] = 255.0 if fields.get("window_size") == 7 else 1.0
    fields["task"] = "sr" if fields["scale"] > 1 else "restoration"
    try:
        config = SwinIRConfig(**fields)
        with torch.device("meta"):  # odd shapes must not take memory
            wanted = SwinIR(config).state_dict()
        shapes = {name: value.shape for name, value in checkpoint.tensors.items()}
        if all(shapes.get(name) == value.shape for name, value in wanted.items()):
            network = SwinIR(config)
            fill(network, checkpoint)
            return network.eval()
    except ValueError:
        pass
    return None
