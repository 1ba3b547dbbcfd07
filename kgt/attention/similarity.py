"""How alike two tokens of a window are: the ways to select keys, each a small function.

Every similarity ranks the keys j of a query i by f_i . f_j - o_j, with features f and an offset o
of each key. So one builder serves all of them at about the cost of the printed dot product, and a
new one is a function and an entry of `SIMILARITIES`.

Sources: "dot" is Eq. 1 of KGT (arXiv 2402.02634). "nearest" and "random" are controls that do not
look at the tokens. The others are ours, against the hubs that the dot product makes of tokens of
large norm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kgt.attention.compiling import remembered

_NOISE_CHANNELS = 256


class Ranking(NamedTuple):
    """Key j stands for query i at features[i] . features[j] - offsets[j].

    Attributes:
        features: [W, N, C'].
        offsets: [W, N], or None for zeros.
    """

    features: Tensor
    offsets: Tensor | None = None

    def cut(self, start: int, stop: int) -> Ranking:
        """That of some of the windows."""
        offsets = None if self.offsets is None else self.offsets[start:stop]
        return Ranking(self.features[start:stop], offsets)

    def all_pairs(self) -> Tensor:
        """The similarities of queries and keys [W, N, N]."""
        products = self.features @ self.features.mT
        return products if self.offsets is None else products - self.offsets[:, None]


def _by_dot(tokens: Tensor) -> Ranking:
    return Ranking(tokens)


def _by_cosine(tokens: Tensor) -> Ranking:
    return Ranking(F.normalize(tokens, dim=-1))


def _by_correlation(tokens: Tensor) -> Ranking:
    """Cosine of what distinguishes the tokens from the mean of their window."""
    return _by_cosine(tokens - tokens.mean(1, keepdim=True))


def _by_distance(tokens: Tensor) -> Ranking:
    """Minus half the squared distance, but for what is the same for all keys of a query."""
    return Ranking(tokens, tokens.square().sum(-1) / 2)


def _by_place(tokens: Tensor, scale: float = 1.0) -> Ranking:
    places = _places(tokens.shape[1], tokens.dtype, tokens.device) * scale
    return _by_distance(places.expand(len(tokens), -1, -1))


def _by_cosine_and_place(tokens: Tensor) -> Ranking:
    """Cosine less the squared distance of the places in sides of the window.

    As the weights of a bilateral filter (Tomasi and Manduchi 1998), of which this is the logarithm.
    """
    features, offsets = _by_place(tokens, scale=(2 / tokens.shape[1]) ** 0.5)
    return Ranking(torch.cat([_by_cosine(tokens).features, features], dim=-1), offsets)


def _by_noise(tokens: Tensor) -> Ranking:
    """Cosine of features that are drawn once: as mutual as that of tokens, but without meaning."""
    noise = _noise(tokens.shape[1], tokens.dtype, tokens.device)
    return Ranking(noise.expand(len(tokens), -1, -1))


@remembered
def _places(nodes: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Row and column of each token of a square window [1, N, 2].

    Raises:
        ValueError: N is no square.
    """
    side = math.isqrt(nodes)
    if side * side != nodes:
        raise ValueError(
            f"{nodes} tokens have no places in a window: they are no square of its side"
        )
    along = torch.arange(side, dtype=dtype, device=device)
    return torch.cartesian_prod(along, along)[None]


@remembered
def _noise(nodes: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Unit vectors [1, N, 256] in random directions, the same on every device."""
    mixed = torch.arange(nodes * _NOISE_CHANNELS, device=device)
    for _ in range(3):  # a hash: what torch.compile and exports do not know is a generator's state
        mixed = ((mixed >> 16) ^ mixed) * 0x45D9F3B & 0xFFFFFFFF
    mixed = (mixed >> 16) ^ mixed
    return F.normalize(mixed.view(1, nodes, -1).to(dtype) / 2**31 - 1, dim=-1)


SIMILARITIES: dict[str, Callable[[Tensor], Ranking]] = {
    "dot": _by_dot,
    "cosine": _by_cosine,
    "correlation": _by_correlation,
    "euclidean": _by_distance,
    "bilateral": _by_cosine_and_place,
    "nearest": _by_place,
    "random": _by_noise,
}
# They take a window's side from its number of tokens.
OF_SQUARE_WINDOWS = ("bilateral", "nearest")
