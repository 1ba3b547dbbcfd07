"""Position bias: a small network over relative coordinates, one per layer.

The papers do not mention it; the printed parameter counts fit the continuous bias of Swin
Transformer V2 (arXiv 2111.09883, Sec. 3.3): log-spaced offsets -> 512 -> heads.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kgt.network.linear import linear


def _log_spaced_offsets(window: int) -> Tensor:
    """Offsets [2M-1, 2M-1, 2] as o = 8 (dy, dx) / (M - 1), then sign(o) log2(1 + |o|) / log2(8)."""
    # On the meta device these few numbers would import a library of algebra, for seconds.
    with torch.device("cpu"):
        offsets = torch.arange(1 - window, window, dtype=torch.float32) * 8 / max(window - 1, 1)
        offsets = offsets.sign() * torch.log2(1 + offsets.abs()) / 3
        return torch.stack(torch.meshgrid(offsets, offsets, indexing="ij"), dim=-1)


class ContinuousPositionBias(nn.Module):
    """Bias table [H, 2M-1, 2M-1] of a window of M x M tokens for H heads.

    Entry [h, M-1 + dy, M-1 + dx] is added to the score of a query and a key that lies dy rows
    above and dx columns left of it.

    Args:
        window: M.
        heads: H.
        hidden: width of the hidden layer.
    """

    offsets: Tensor

    def __init__(self, window: int, heads: int, hidden: int = 512) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(2, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, heads, bias=False)
        )
        # As the parameters.
        device, dtype = torch.get_default_device(), torch.get_default_dtype()
        offsets = _log_spaced_offsets(window).to(device, dtype)
        self.register_buffer("offsets", offsets, persistent=False)
        self._known: tuple[Sequence[Tensor], Tensor] | None = None  # weights and what they yielded

    def forward(self) -> Tensor:
        """The table; bounded to (0, 16) by a sigmoid as in Swin Transformer V2.

        Without gradients on a CPU, weights that are still the same yield the same table again.
        """
        remembers = not torch.is_grad_enabled() and not torch.compiler.is_compiling()
        if not remembers or not self.offsets.is_cpu:
            return self._table()
        weights = list(self.mlp.parameters())
        if self._known is None or not _all_equal(weights, self._known[0]):
            self._known = [weight.clone() for weight in weights], self._table()
        return self._known[1]

    def _table(self) -> Tensor:
        # Small, and added to scores that are kept in float32: not worth rounding.
        with torch.autocast(self.offsets.device.type, enabled=False):
            widen, _, narrow = self.mlp
            scores = narrow(linear(self.offsets, *widen.parameters(), activation="relu"))
            return 16 * torch.sigmoid(scores).permute(2, 0, 1)


def _all_equal(weights: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether types and values are the same."""
    pairs = zip(weights, others, strict=True)
    return all(a.dtype == b.dtype and a.is_cpu and b.is_cpu and a.equal(b) for a, b in pairs)
