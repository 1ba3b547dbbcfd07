"""LPIPS. Its backbone is a file that this package neither ships nor fetches."""

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

BACKBONE_VARIABLE = "KGT_LPIPS_BACKBONE"
_TORCHVISION_FILE = "alexnet-owt-7be5be79.pth"


def find_backbone() -> Path:
    """The file of AlexNet's weights: what the environment names, else torchvision's cached one."""
    named = os.environ.get(BACKBONE_VARIABLE)
    if named:
        return Path(named)
    from torch.hub import get_dir

    return Path(get_dir()) / "checkpoints" / _TORCHVISION_FILE


def lpips_unavailable_reason() -> str:
    """Why LPIPS cannot be computed here; empty if it can."""
    path = find_backbone()
    if path.is_file():
        return ""
    return (
        f"LPIPS needs torchvision's AlexNet weights, and {path} is no file; put "
        f"{_TORCHVISION_FILE} there, or set {BACKBONE_VARIABLE} to a copy of it"
    )


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
def _load_network(backbone: Path) -> nn.Module:
    reason = lpips_unavailable_reason()
    if reason:
        raise ValueError(reason)
    import lpips
    import torch

    with warnings.catch_warnings():
        # It calls torchvision by a keyword that is deprecated there.
        warnings.simplefilter("ignore", UserWarning)
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    weights = torch.load(backbone, map_location="cpu", weights_only=True)
    # lpips cuts torchvision's `features` into slices, and keeps the numbers of the layers.
    backbone_state = {
        name: weights.get(f"features.{name.split('.', 1)[1]}") for name in network.net.state_dict()
    }
    absent = [name for name, tensor in backbone_state.items() if tensor is None]
    if absent:
        raise ValueError(f"{backbone} lacks {', '.join(absent)}; torchvision's AlexNet expected")
    network.net.load_state_dict(backbone_state)
    return network.eval()
