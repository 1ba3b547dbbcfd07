"""The cost of whole networks: parameters, and the FLOPs of one forward pass by part.

FLOPs are those of the multiply-adds of matrix products and convolutions, two each: 1 MAC = 2 FLOP.
Normalization, softmax, activations, biases, pooling, resampling, and the selection of keys are left
out. They are counted three times, which must agree to the last digit: by torch's counter and by
fvcore's (`counters`), and from the configuration (`closed_form`), where the network has one.

Every part of a network's cost is a constant plus a multiple of the pixels of the padded input. The
position bias is such a constant: once per layer and forward pass, although on a CPU a network
without gradients remembers it. So a large input is not run: both counters count three small ones,
two of which give the line; the third must lie on it.

SwinIR's authors print 788.6 G for SwinIR-M x4 at 256x256 and 195.6, 87.2 and 49.6 G for SwinIR-S
at x2, x3 and x4. These are MACs by formulas of their own: a LayerNorm counts one per value, the
convolution after the body a third of its MACs, the upsampler of SwinIR-S 27 C per pixel of the
input at any scale, and the input of SwinIR-S is that of an output of 1024x720, plus one to eight
pixels a side (520x368 at x2). So computed, SwinIR-S and the gray denoiser (787.993 G) come out to
the last printed digit. For the upsampler of SwinIR-M there is no formula: without it they give
788.1 G, 0.5 G short of print. What it does costs 856.9 GMAC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from baselines.dense import DenseTwin
from baselines.swinir import SwinIR
from benchmarks.measure.closed_form import DENSE, Tally, tally_kgt, tally_swinir
from benchmarks.measure.counters import PARTS, Part, count_with_fvcore, count_with_torch
from benchmarks.models import create_described
from kgt.contract import Restorer, WholeImageRestorer, as_module, has_parameters
from kgt.network.layers import KeyGraphAttention
from kgt.network.model import KGT

_MIN_SIDE = 16


@dataclass(frozen=True)
class NetworkCost:
    """What one forward pass of a network costs, on a CPU in float32, for a batch of one.

    Attributes:
        description: NAME:field=value:field=value.
        size: height and width of the input in pixels.
        padded: height and width that the network pads it to.
        parameters: number of learned values.
        flops: FLOP by part, as torch counts them: "attention" (scores and weighted values),
            "graph" (similarities), "linear" (projections and MLPs), "position_bias" (the networks
            on relative coordinates, once per layer), "convolution", "other".
        by_fvcore: the same as fvcore counts them.
        closed_form: the same, and the parameters and pairs, from the configuration; None for a
            network that has no closed form here.
    """

    description: str
    size: tuple[int, int]
    padded: tuple[int, int]
    parameters: int
    flops: Counter[Part]
    by_fvcore: Counter[Part]
    closed_form: Tally | None

    @property
    def total_flops(self) -> int:
        """FLOP of all parts."""
        return self.flops.total()

    @property
    def agrees(self) -> bool:
        """Whether all counts of every part and of the parameters are the same."""
        if self.flops != self.by_fvcore:
            return False
        closed = self.closed_form
        return closed is None or (closed.parameters, closed.flops) == (self.parameters, self.flops)

    def share(self, part: Part) -> float:
        """Percentage of the FLOPs that a part has; 0 where there are none."""
        return 100 * self.flops[part] / max(1, self.total_flops)


def count_cost(description: str, size: tuple[int, int]) -> NetworkCost:
    """Count what a network costs at an input size.

    Of one that must see the whole image, the body alone is counted, without the first step.

    Args:
        description: NAME:field=value:field=value; of a KGT, `backend` may be given, too.
        size: height and width of the input in pixels.

    Raises:
        ValueError: for an unknown name or field, a classical method, an input that the network
            refuses, a backend whose products cannot be counted, or a cost that is not linear in
            the pixels.
        UncountedOperatorError: when an operator runs that a counter has no formula for.
    """
    torch.manual_seed(0)
    network: Restorer = create_described(description).eval()
    if not has_parameters(network):
        raise ValueError(
            f"{description} is a classical method, which computes outside of torch; FLOPs are "
            "those of networks, so leave it out"
        )
    if isinstance(network, WholeImageRestorer):
        network = network.body
    padded = _round_up(size[0], network.size_multiple), _round_up(size[1], network.size_multiple)
    return NetworkCost(
        description,
        size,
        padded,
        sum(parameter.numel() for parameter in network.parameters()),
        closed_form=_tally(network, padded[0] * padded[1]),
        flops=_count(count_with_torch, network, size, padded),
        by_fvcore=_count(count_with_fvcore, network, size, padded),
    )


def describe_cost(cost: NetworkCost) -> dict[str, Any]:
    """A row of a table; shares are percentages of the FLOPs."""
    closed = cost.closed_form
    return {
        "model": cost.description,
        "input": "{}x{}".format(*cost.size),
        "padded": "{}x{}".format(*cost.padded),
        "parameters": cost.parameters,
        "gmac": cost.total_flops / 2e9,
        "gflop": cost.total_flops / 1e9,
        **{f"{part}_percent": cost.share(part) for part in PARTS},
        "pairs_in_graph": closed and closed.pairs_in_graph,
        "pairs_computed": closed and closed.pairs_computed,
        "counted_by": "torch, fvcore, closed form" if closed else "torch, fvcore",
        "agrees": cost.agrees,
    }


def _round_up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def _tally(network: Restorer, pixels: int) -> Tally | None:
    if isinstance(network, SwinIR):
        return tally_swinir(network.config, pixels)
    if not isinstance(network, KGT):
        return None
    if isinstance(network, DenseTwin):
        return tally_kgt(network.config, pixels, DENSE)
    layers = (module for module in network.modules() if isinstance(module, KeyGraphAttention))
    backend = next(layers).backend
    if backend == "flex":
        raise ValueError("fvcore cannot trace flex; count sdpa, which computes the same pairs")
    return tally_kgt(network.config, pixels, backend)


def _count(
    count: Callable[[nn.Module, Tensor], Counter[Part]],
    network: Restorer,
    size: tuple[int, int],
    padded: tuple[int, int],
) -> Counter[Part]:
    """FLOPs by part at a size, from smaller ones where it is large."""
    side = _round_up(_MIN_SIDE, network.size_multiple)
    unit = side * side
    pixels = padded[0] * padded[1]
    module = as_module(network)
    # An image smaller than a window goes to the network, for it to say so.
    if pixels <= 6 * unit or min(size) < network.size_multiple:
        return count(module, _image(network, size))
    one, two, four = (
        count(module, _image(network, (rows * side, columns * side)))
        for rows, columns in ((1, 1), (1, 2), (2, 2))
    )
    flops: Counter[Part] = Counter()
    for part in PARTS:
        per_unit = two[part] - one[part]
        more, rest = divmod(per_unit * (pixels - unit), unit)
        if rest or four[part] != one[part] + 3 * per_unit:
            raise ValueError(
                f"the FLOPs of {part} are not linear in the pixels: {one[part]:,} at {side}x{side},"
                f" {two[part]:,} and {four[part]:,} at twice and four times as many; "
                f"count this network at no more than {6 * unit:,} pixels"
            )
        flops[part] = one[part] + more
    return flops


def _image(network: Restorer, size: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, network.in_channels, *size, generator=generator)
