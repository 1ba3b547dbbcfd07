"""Closed-form cost of key-graph attention: what each implementation computes and allocates.

FLOPs count a multiply-add as two and the two matrix products only (as torch's and fvcore's
counters do); softmax, bias and selection are left out. Bytes are the peak of what one forward call
allocates beyond its inputs, its output included, in inference mode on contiguous inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kgt.attention.call import AttentionProblem
from kgt.attention.triton.tiling import SLOTS, TILE

_INT64 = 8
_INT32 = 4
_BOOL = 1


@dataclass(frozen=True)
class Cost:
    """FLOPs of the two matrix products, and peak bytes allocated by a forward call."""

    flops: int
    peak_bytes: int


def _rows(problem: AttentionProblem) -> int:
    """W * N, the number of queries per head."""
    return problem.windows * problem.nodes


def _output_bytes(problem: AttentionProblem) -> int:
    return _rows(problem) * problem.heads * problem.head_dim * problem.dtype.itemsize


def dense_flops(problem: AttentionProblem) -> int:
    """Scores and weighted values of all N x N pairs."""
    return 4 * _rows(problem) * problem.heads * problem.nodes * problem.head_dim


def sparse_flops(problem: AttentionProblem) -> int:
    """Scores and weighted values of the N x K pairs of the graph."""
    return 4 * _rows(problem) * problem.heads * problem.k * problem.head_dim


def _bias_bytes(problem: AttentionProblem) -> int:
    """The table expanded to all pairs, [H, N, N]."""
    if not problem.has_bias:
        return 0
    return problem.heads * problem.nodes**2 * problem.dtype.itemsize


def _mask_bytes(problem: AttentionProblem) -> int:
    """The bool mask [W, N, N] and the int64 indices it is scattered from."""
    return _rows(problem) * (problem.nodes * _BOOL + problem.k * _INT64)


def torch_mask_cost(problem: AttentionProblem) -> Cost:
    """Scores and probabilities [W, H, N, N], independent of k but for the indices."""
    pairs = _rows(problem) * problem.heads * problem.nodes * problem.dtype.itemsize
    mask = _rows(problem) * problem.nodes * _BOOL
    scatter = _mask_bytes(problem)
    softmax = mask + 2 * pairs
    biased = _bias_bytes(problem) + pairs
    return Cost(dense_flops(problem), max(scatter, softmax, biased))


def missing_dims(dim: int, dtype: torch.dtype, device: str) -> int:
    """By how much torch's fused kernels for GPUs want a head dimension padded."""
    return 0 if device == "cpu" else -dim % (16 // dtype.itemsize)


def _fused_bytes(problem: AttentionProblem) -> int:
    """What fused attention allocates: the output, and q, k, v where D is padded."""
    missing = missing_dims(problem.head_dim, problem.dtype, problem.device)
    padded = _rows(problem) * problem.heads * (problem.head_dim + missing) * problem.dtype.itemsize
    return 4 * padded if missing else padded


def sdpa_cost(problem: AttentionProblem) -> Cost:
    """The additive mask [W, 1 or H, N, N]; the fused kernel itself keeps no [N, N] array.

    The kernel computes all pairs, whatever the mask says.
    """
    pairs = _rows(problem) * problem.nodes * problem.dtype.itemsize
    complete = problem.k == problem.nodes and not problem.has_padding
    graph = 0 if complete else pairs
    scatter = 0 if complete else pairs + _rows(problem) * problem.k * _INT64
    bias = _bias_bytes(problem)
    combined = pairs * problem.heads if problem.has_bias and not complete else 0
    return Cost(
        dense_flops(problem),
        max(scatter, graph + bias + combined, graph + _fused_bytes(problem)),
    )


def _gather_bytes_per_row(problem: AttentionProblem) -> int:
    """Bytes held for one query while its values are gathered: indices, weights, values, bias."""
    size = problem.dtype.itemsize
    per_key = problem.heads * (_INT64 + size + size * problem.head_dim)
    if problem.has_bias:
        per_key += problem.heads * size
    return problem.k * per_key


def gather_chunk_rows(problem: AttentionProblem) -> int:
    """Queries (rows of the flattened [W * N]) that torch-gather takes at a time, at least 1."""
    budget = _default_budget(problem) if problem.byte_budget is None else problem.byte_budget
    if budget == 0:
        return _rows(problem)
    return min(_rows(problem), max(1, budget // _gather_bytes_per_row(problem)))


def _default_budget(problem: AttentionProblem) -> int:
    """Small enough on a CPU that the allocator hands the same memory to every chunk.

    glibc maps blocks above 32 MiB anew each time, and their page faults cost more than the
    gathering. With gradients every chunk is computed twice, so there the chunks are large.
    """
    small = problem.device == "cpu" and not problem.requires_grad
    return (16 if small else 256) * 2**20


def torch_gather_cost(problem: AttentionProblem) -> Cost:
    """Gathered keys or values [W * N, H, K, D] of one chunk; grows with k when the budget is 0."""
    rows = gather_chunk_rows(problem)
    return Cost(
        sparse_flops(problem), rows * _gather_bytes_per_row(problem) + _output_bytes(problem)
    )


def flex_cost(problem: AttentionProblem) -> Cost:
    """The bool mask [W, N, N], kept, and the output; the kernel keeps no [N, N] array.

    Graphs of photographs leave next to no block of 128 x 128 pairs empty, so all pairs count.
    """
    mask = _rows(problem) * problem.nodes * _BOOL
    return Cost(dense_flops(problem), max(_mask_bytes(problem), mask + _output_bytes(problem)))


def triton_cost(problem: AttentionProblem) -> Cost:
    """Output and log-sum-exp, or what it takes to tile the graph, once for all layers of a stage.

    Tiles of 32 queries have a word and a key for each token of their union, here as large as a
    window, rounded up to 64. Making them takes an int64 and an int32 for every edge (two int64 and
    a bool while padding is replaced), then sorts the words. Pairs of a tile that are no edges are
    left out of the FLOPs.
    """
    tiles = problem.windows * -(-problem.nodes // TILE)
    words = tiles * problem.nodes
    unions = tiles * -(-problem.nodes // SLOTS) * SLOTS
    per_edge = 2 * _INT64 + _BOOL if problem.has_padding else _INT64 + _INT32
    edges = _rows(problem) * problem.k * per_edge + words * _INT32
    # Words, whether they are occupied, the order; then union and words picked, and both padded.
    sorting = words * (_INT32 + _BOOL + _INT64 + 2 * _INT32) + unions * 2 * _INT32
    logsumexp = _rows(problem) * problem.heads * torch.float32.itemsize
    kept = unions * 2 * _INT32 + _output_bytes(problem) + logsumexp
    return Cost(sparse_flops(problem), max(edges, sorting, kept))


def native_cost(problem: AttentionProblem) -> Cost:
    """The output, and the log-sum-exp of every query; a thread's scratch is left out."""
    queries = problem.windows * problem.heads * problem.nodes
    return Cost(sparse_flops(problem), _output_bytes(problem) + queries * torch.float32.itemsize)


def dense_attention_cost(problem: AttentionProblem) -> Cost:
    """Attention over every pair by torch's fused kernel, which keeps no scores."""
    return Cost(dense_flops(problem), _fused_bytes(problem))
