"""Closed-form cost of key-graph attention: what the formulas of all backends share.

FLOPs count a multiply-add as two and the two matrix products only (as torch's and fvcore's
counters do); softmax, bias and selection are left out. Bytes are the peak of what one forward call
allocates beyond its inputs, its output included, in inference mode on contiguous inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kgt.attention.call import AttentionShape


@dataclass(frozen=True)
class Cost:
    """FLOPs of the two matrix products, and peak bytes allocated by a forward call."""

    flops: int
    peak_bytes: int


def dense_flops(shape: AttentionShape) -> int:
    """Scores and weighted values of all N x N pairs."""
    return 4 * shape.queries * shape.heads * shape.nodes * shape.head_dim


def sparse_flops(shape: AttentionShape) -> int:
    """Scores and weighted values of the N x K pairs of the graph."""
    return 4 * shape.queries * shape.heads * shape.k * shape.head_dim


def output_bytes(shape: AttentionShape) -> int:
    """The output [W, H, N, D]."""
    return shape.queries * shape.heads * shape.head_dim * shape.dtype.itemsize


def logsumexp_bytes(shape: AttentionShape) -> int:
    """The float32 log-sum-exp [W, H, N] that kernels keep for a backward pass."""
    return shape.queries * shape.heads * torch.float32.itemsize


def dense_bias_bytes(shape: AttentionShape) -> int:
    """The table expanded to all pairs, [H, N, N]; 0 without one."""
    return shape.heads * shape.nodes**2 * shape.dtype.itemsize if shape.has_bias else 0


def mask_bytes(shape: AttentionShape) -> int:
    """The graph as a bool mask [W, N, N]."""
    return shape.queries * shape.nodes * torch.bool.itemsize


def index_bytes(shape: AttentionShape) -> int:
    """The int64 indices [W, N, K] that a mask is scattered from."""
    return shape.queries * shape.k * torch.int64.itemsize
