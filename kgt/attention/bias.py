"""The table of relative offsets as a bias of scores: of all pairs of tokens, or of chosen ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kgt.attention.compiling import remembered


def window_of(nodes: int) -> int:
    """Side M of a square window of `nodes` tokens.

    Raises:
        ValueError: when `nodes` is not a square number.
    """
    side = math.isqrt(nodes)
    if side * side != nodes:
        raise ValueError(f"N = {nodes} tokens do not form a square window: N must be M * M")
    return side


@remembered
def relative_index(window: int, device: torch.device) -> Tensor:
    """int64 [N, N]: where in the flattened table the offset of (query, key) stands."""
    axis = torch.arange(window, device=device)
    rows, columns = axis.repeat_interleave(window), axis.repeat(window)
    dy = rows[:, None] - rows[None, :] + window - 1
    dx = columns[:, None] - columns[None, :] + window - 1
    return dy * (2 * window - 1) + dx


def dense_bias(table: Tensor, nodes: int) -> Tensor:
    """Expand a table [H, 2M-1, 2M-1] to the additive bias [H, N, N] of all pairs."""
    index = relative_index(window_of(nodes), table.device)
    # Twice to six times as fast on a CPU as indexing with a two-dimensional index.
    return table.flatten(1).index_select(1, index.flatten()).unflatten(1, index.shape)


def pair_bias(table: Tensor, queries: Tensor, keys: Tensor, window: int) -> Tensor:
    """Biases of chosen pairs only, from the table.

    Args:
        table: [H, 2M-1, 2M-1].
        queries: integer token numbers, broadcastable against `keys`.
        keys: integer token numbers [...].
        window: M.

    Returns:
        [H, ...] in the broadcast shape of queries and keys.
    """
    dy = queries // window - keys // window + window - 1
    dx = queries % window - keys % window + window - 1
    return table.flatten(1)[:, dy * (2 * window - 1) + dx]
