"""LPIPS. Its backbone is a file that this package does not ship, and fetches when asked to."""

from __future__ import annotations

import os
import warnings
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.tasks.metrics import Array, Metric

if TYPE_CHECKING:
    # Few evaluations need what takes seconds to import.
    from torch import Tensor, nn

    from baselines.pretrained import LinkedWeights

BACKBONE_VARIABLE = "KGT_LPIPS_BACKBONE"
_FETCH = "python -m benchmarks.doctor fetch lpips"


@cache
def backbone() -> LinkedWeights:
    """AlexNet as torchvision publishes it."""
    from baselines.pretrained import LinkedWeights

    return LinkedWeights(
        license="BSD-3-Clause",
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        address="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        size=244_408_911,
    )


def find_backbone() -> Path:
    """The backbone that the environment names, else a fetched one, else torchvision's cached one.

    Where there is none, the path is where it would be fetched to.
    """
    named = os.environ.get(BACKBONE_VARIABLE)
    if named:
        return Path(named)
    fetched = backbone().find()
    if fetched:
        return fetched
    from torch.hub import get_dir

    cached = Path(get_dir()) / "checkpoints" / backbone().path.name
    return cached if cached.is_file() else backbone().path


def lpips_unavailable_reason() -> str:
    """Why LPIPS cannot be computed here; empty if it can."""
    path = find_backbone()
    if path.is_file():
        return ""
    remedy = f"`{_FETCH}` fetches them ({backbone().size / 1e6:.0f} MB)"
    if os.environ.get(BACKBONE_VARIABLE):
        remedy = f"set {BACKBONE_VARIABLE} to a copy of {backbone().path.name}"
    return f"left out, for it needs the weights of AlexNet, and {path} is no file; {remedy}"


@partial(Metric, "lpips-alex", "LPIPS", "lower", unavailable=lpips_unavailable_reason)
def lpips_alex(prediction: Array, target: Array) -> float:
    """Learned perceptual distance 0.1 with AlexNet (Zhang et al. 2018); 0 for identical images.

    Args:
        prediction: [H, W, 3], values in 0..255.
        target: same shape.

    Raises:
        ValueError: there is no backbone, or the file is not AlexNet's weights.
    """
    import torch

    network = _load_network(find_backbone())
    with torch.inference_mode():
        return float(network(_to_tensor(prediction), _to_tensor(target)))


def _to_tensor(image: Array) -> Tensor:
    import torch

    planes = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32)).permute(2, 0, 1)
    return planes[None] / 127.5 - 1


@cache
def _load_network(path: Path) -> nn.Module:
    reason = lpips_unavailable_reason()
    if reason:
        raise ValueError(f"LPIPS is {reason}")
    import lpips

    from kgt.checkpoints import read_checkpoint

    with warnings.catch_warnings():
        # It calls torchvision by a keyword that is deprecated there.
        warnings.simplefilter("ignore", UserWarning)
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    weights = read_checkpoint(path).tensors
    # lpips cuts torchvision's `features` into slices, and keeps the numbers of the layers.
    backbone_state = {
        name: weights.get(f"features.{name.split('.', 1)[1]}") for name in network.net.state_dict()
    }
    absent = [name for name, tensor in backbone_state.items() if tensor is None]
    if absent:
        raise ValueError(f"{path} lacks {', '.join(absent)}; torchvision's AlexNet expected")
    network.net.load_state_dict(backbone_state)
    return network.eval()
