"""What a training minimizes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kgt.checkpoints import read_checkpoint

Loss = Callable[[Tensor, Tensor], Tensor]

_VGG_FILE = "vgg16-397923af.pth"
# The last layer before each of the first three poolings: relu1_2, relu2_2, relu3_3.
_VGG_LAYERS = (3, 8, 15)
_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def charbonnier(output: Tensor, target: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Mean of sqrt(d^2 + epsilon^2), an L1 that is smooth at zero (Lai et al. 2017)."""
    return torch.sqrt((output - target).square() + epsilon**2).mean()


def psnr_loss(output: Tensor, target: Tensor, noise: float = 1e-3) -> Tensor:
    """Mean over patches of log(1 + MSE / noise): PSNR, flattened where little is left to gain.

    A patch counts by how much it changes in relation to its error, so that in a network for several
    tasks the one of large errors does not outweigh the others (as PSNR in HINet, Chen et al. 2021).
    """
    error = (output - target).square().flatten(1).mean(dim=1)
    return torch.log1p(error / noise).mean()


LOSSES: dict[str, Loss] = {
    "l1": F.l1_loss,
    "charbonnier": charbonnier,
    "smooth-l1": F.smooth_l1_loss,
    "psnr": psnr_loss,
}


def make_loss(name: str, perceptual: float = 0.0) -> Loss:
    """The loss of a recipe, of outputs and targets [B, 3, H, W] in [0, 1].

    Args:
        name: a key of `LOSSES`.
        perceptual: weight of the distance between VGG features.

    Raises:
        ValueError: features are asked for, and VGG's weights are not there.
    """
    pixels = LOSSES[name]
    if not perceptual:
        return pixels
    features = VGGDistance()

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return pixels(output, target) + perceptual * features(output, target)

    return loss


class VGGDistance(nn.Module):
    """Mean squared difference of VGG-16 features (Johnson et al. 2016), over three depths.

    Raises:
        ValueError: torchvision's weights are not in its cache, and nothing is fetched here.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        path = Path(torch.hub.get_dir()) / "checkpoints" / _VGG_FILE
        if not path.is_file():
            raise ValueError(
                f"a perceptual loss needs torchvision's VGG-16 weights, and {path} is no file; put "
                f"{_VGG_FILE} there, or set perceptual: 0"
            )
        from torchvision.models import vgg16  # takes seconds to import

        network = vgg16()
        network.load_state_dict(dict(read_checkpoint(path).tensors))
        self.features = network.features[: _VGG_LAYERS[-1] + 1].eval().requires_grad_(False)
        for name, values in (("mean", _IMAGENET_MEAN), ("deviation", _IMAGENET_DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Distance of two images [B, 3, H, W] in [0, 1]; to be minimized in the first."""
        self.to(output)
        x, y = ((image - self.mean) / self.deviation for image in (output, target))
        distance = output.new_zeros(())
        for index, layer in enumerate(self.features):
            x, y = layer(x), layer(y)
            if index in _VGG_LAYERS:
                distance = distance + F.mse_loss(x, y)
        return distance / len(_VGG_LAYERS)
