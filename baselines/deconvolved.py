"""Networks for deblurring that see a blind deconvolution beside their input."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from torch import Tensor, nn

from baselines.classical import ImageFilter
from baselines.deconvolution import append_undone
from baselines.registry import register
from baselines.swinir import TINY_RESTORATION, SwinIR, SwinIRConfig
from kgt import zoo
from kgt.config import preset
from kgt.contract import UNKNOWN, Restorer, as_module
from kgt.network.windows import check_image


class Deconvolved(nn.Module):
    """A network that sees, beside each image, its blind deconvolution, and corrects that.

    It is not in the papers. A short training learns to deblur sooner with it; what the
    deconvolution scores alone, `blind-deconvolution` shows. The parameters carry the network's own
    names, so that the weights of one fit the other.

    Args:
        network: restores [B, 2 * C, h, w] to [B, C, h, w] at scale 1, from each image and what
            `append_undone` makes of it.
    """

    provenance = UNKNOWN

    def __init__(self, network: Restorer) -> None:
        super().__init__()
        self.network = network
        self.scale = network.scale
        self.in_channels = network.in_channels // 2
        self.size_multiple = network.size_multiple
        self.task = network.task

    @property
    def body(self) -> Restorer:
        """The network."""
        return self.network

    @staticmethod
    def prepare(image: Tensor) -> Tensor:
        """The whole image [B, C, h, w] and its deconvolution, [B, 2 * C, h, w]."""
        return append_undone(image)

    def forward(self, x: Tensor) -> Tensor:
        """Restore [B, C, h, w] in [0, 1].

        Raises:
            ValueError: for an input that is no finite image batch of C channels, or that the
                network refuses.
        """
        check_image(x, self.in_channels, min_size=1)
        return self.network(self.prepare(x))

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Parameters and buffers of the network by their names there."""
        return as_module(self.network).state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Fill the network."""
        return as_module(self.network).load_state_dict(*args, **kwargs)


class _LastImage(ImageFilter):
    """Of two images that it sees together, the second, as it is."""

    task = "deblur"

    def forward(self, x: Tensor) -> Tensor:
        """The second half [B, C, h, w] of the channels of x [B, 2 * C, h, w]."""
        check_image(x, self.in_channels, min_size=1)
        return x[:, self.in_channels // 2 :]


@register("blind-deconvolution", in_channels=3)
def _build_blind(in_channels: int) -> Deconvolved:
    """The camera shake of each image, estimated and undone, which networks have to beat."""
    return Deconvolved(_LastImage(2 * in_channels))


@register(
    "deconvolved-kgt-tiny-deblur",
    backend="auto",
    **asdict(preset("kgt-tiny-deblur", in_channels=6, out_channels=3)),
)
def _build_kgt(**fields: Any) -> Deconvolved:
    return Deconvolved(zoo.create_model("kgt-tiny-deblur", **fields))


@register(
    "deconvolved-swinir-tiny-deblur",
    **asdict(replace(TINY_RESTORATION, task="deblur", in_channels=6, out_channels=3)),
)
def _build_swinir(**fields: Any) -> Deconvolved:
    return Deconvolved(SwinIR(SwinIRConfig(**fields)))
