"""Small networks whose tiles are known exactly."""

import torch
from torch import nn

import kgt
from kgt.network.windows import pad_to_multiple


class OnGrid(nn.Module):
    """A function of the padded input as a network."""

    def __init__(self, function, scale=1, size_multiple=1):
        super().__init__()
        self.function, self.scale, self.size_multiple = function, scale, size_multiple

    def forward(self, x):
        height, width = x.shape[-2:]
        y = self.function(pad_to_multiple(x, self.size_multiple))
        return y[..., : self.scale * height, : self.scale * width]


def convolutions(scale, size_multiple):
    """A receptive field of radius 2, with weights that leave whole numbers whole."""
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, scale**2, 3, padding=1),
        nn.PixelShuffle(scale),
    )
    for parameter in layers.parameters():
        nn.init.uniform_(parameter, -3, 3)
        parameter.data.round_()
    return OnGrid(layers, scale, size_multiple)


def whole_numbers(*shape):
    return torch.randint(0, 256, shape).float()


def windowed(name):
    torch.manual_seed(0)
    fields = {"embed_dim": 12, "heads": 3, "window": 4, "k": 6, "depths": (2,), "bias_hidden": 8}
    return kgt.create_model(name, **fields).eval()
