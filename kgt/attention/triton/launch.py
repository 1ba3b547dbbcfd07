"""How the Triton kernels are launched: grids, arguments, constants and warps.

A launch is data, so that what runs on a GPU can be compiled for it on any machine. Shapes and
layouts are those of the kernels; bias is a contiguous float32 table or None.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kgt.attention.bias import window_of
from kgt.attention.operators import empty_merged, empty_per_query
from kgt.attention.triton.tiling import TILE, Inverse, Tiles

TABLE_PROGRAMS = 256  # runs of queries with a bias gradient of their own: deterministic
SHARED_TABLES = 16  # copies of the bias gradient that tiles add to: few enough to add up quickly


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel.

    Attributes:
        module: the module of kgt.attention.triton that holds it; its import needs triton.
        kernel: its name there.
        grid: programs along each axis.
        arguments: tensors and numbers, in the order of the kernel's arguments.
        constants: its compile-time arguments.
        warps: warps of a program.
        stages: loads in flight of a software-pipelined loop.
    """

    module: str
    kernel: str
    grid: tuple[int, int]
    arguments: tuple[Any, ...]
    constants: Mapping[str, Any]
    warps: int
    stages: int

    def function(self) -> Any:
        """The kernel itself."""
        return getattr(importlib.import_module(f"kgt.attention.triton.{self.module}"), self.kernel)

    def run(self) -> None:
        """Launch it on the device of its first tensor."""
        settings = {"num_warps": self.warps, "num_stages": self.stages}
        with torch.cuda.device_of(self.arguments[0]):
            self.function()[self.grid](*self.arguments, **self.constants, **settings)


def vendor() -> str:
    """Whose GPUs this torch is built for: "cuda" or "hip"."""
    return "hip" if torch.version.hip else "cuda"


def _strides(*tensors: Tensor) -> list[int]:
    return [stride for tensor in tensors for stride in tensor.stride()]


def _constants(q: Tensor, bias: Tensor | None) -> dict[str, Any]:
    nodes, dim = q.shape[2:]
    return {
        "HEAD_DIM": dim,
        "PADDED_DIM": max(16, 1 << (dim - 1).bit_length()),
        "WINDOW": 0 if bias is None else window_of(nodes),
    }


def _gather(
    kernel: str, q: Tensor, bias: Tensor | None, programs: int, arguments: list[Any]
) -> Launch:
    # Gradients of keys and values hold two sums for each slot: half the slots, and none spills.
    block = 16 if kernel == "gather_backward_keys" else 32
    constants = {**_constants(q, bias), "BLOCK": block}
    return Launch("gather", kernel, (programs, q.shape[1]), tuple(arguments), constants, 4, 1)


def _tile(
    kernel: str, q: Tensor, bias: Tensor | None, vendor: str, tiles: Tiles, arguments: list[Any]
) -> Launch:
    block, warps, stages = _tile_settings(
        kernel == "tile_forward", q.dtype, bias is not None, vendor
    )
    constants = {
        **_constants(q, bias),
        "TILE": TILE,
        "BLOCK": block,
        # Three products in TF32 come near float32's own error, on tensor cores; AMD's matrix cores
        # take float32 as it is.
        "PRECISION": "ieee" if vendor == "hip" else "tf32x3",
    }
    grid = (tiles.counts.numel(), q.shape[1])
    return Launch("tile", kernel, grid, tuple(arguments), constants, warps, stages)


def _tile_settings(
    forward: bool, dtype: torch.dtype, has_bias: bool, vendor: str
) -> tuple[int, int, int]:
    """Keys at a time, warps and stages: of those without a spill at D = 32, the fastest.

    On AMD, where none was timed, those with the most keys.
    """
    if vendor == "hip":
        return (32 if forward else 16), 4, 1
    # Two warps to 32 queries keep operands of the products in registers; four are 1.5 times slower.
    if dtype == torch.float32:
        return 16, 2, 3 if forward else 1 if has_bias else 2
    return (32 if forward else 16), 2, 1


def gather_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    indices: Tensor,
    bias: Tensor | None,
    scale: float,
) -> tuple[Launch, Tensor, Tensor]:
    """The launch, and the out and log-sum-exp that it fills."""
    windows, heads, nodes, _ = q.shape
    out, logsumexp = empty_merged(q), empty_per_query(q)
    tensors = [q, k, v, indices, q if bias is None else bias, out, logsumexp]
    arguments = [*tensors, *_strides(q, k, v), heads, nodes, indices.shape[2], scale]
    launch = _gather("gather_forward", q, bias, windows * nodes, arguments)
    return launch, out, logsumexp


def tile_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    tiles: Tiles,
    bias: Tensor | None,
    scale: float,
    vendor: str,
) -> tuple[Launch, Tensor, Tensor]:
    """The launch, and the out and log-sum-exp that it fills."""
    _, heads, nodes, _ = q.shape
    out, logsumexp = empty_merged(q), empty_per_query(q)
    tensors = [q, k, v, *tiles, q if bias is None else bias, out, logsumexp]
    arguments = [*tensors, *_strides(q, k, v), heads, nodes, tiles.union.shape[2], scale]
    return _tile("tile_forward", q, bias, vendor, tiles, arguments), out, logsumexp


def _empty_tables(bias: Tensor | None, count: int) -> Tensor | None:
    return None if bias is None else bias.new_zeros(count, *bias.shape)


def gather_backward_queries(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grad: Tensor,
    indices: Tensor,
    bias: Tensor | None,
    out: Tensor,
    logsumexp: Tensor,
    scale: float,
) -> tuple[Launch, Tensor, Tensor, Tensor | None]:
    """The launch, and what it fills: deltas, gradients of queries, and of parts of the table."""
    windows, heads, nodes, _ = q.shape
    rows = windows * nodes
    share = 1 if bias is None else -(-rows // TABLE_PROGRAMS)
    programs = -(-rows // share)
    delta, grad_q, tables = empty_per_query(q), empty_merged(q), _empty_tables(bias, programs)
    tensors = [q, k, v, grad, indices, q if bias is None else bias, out, logsumexp]
    tensors += [delta, grad_q, delta if tables is None else tables]
    numbers = [rows, share, heads, nodes, indices.shape[2], scale]
    arguments = [*tensors, *_strides(q, k, v, grad), *numbers]
    launch = _gather("gather_backward_queries", q, bias, programs, arguments)
    return launch, delta, grad_q, tables


def tile_backward_queries(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grad: Tensor,
    tiles: Tiles,
    bias: Tensor | None,
    out: Tensor,
    logsumexp: Tensor,
    scale: float,
    vendor: str,
) -> tuple[Launch, Tensor, Tensor, Tensor | None]:
    """The launch, and what it fills: deltas, gradients of queries, and of parts of the table."""
    _, heads, nodes, _ = q.shape
    copies = min(SHARED_TABLES, tiles.counts.numel())
    delta, grad_q, tables = empty_per_query(q), empty_merged(q), _empty_tables(bias, copies)
    tensors = [q, k, v, grad, *tiles, q if bias is None else bias, out, logsumexp]
    tensors += [delta, grad_q, delta if tables is None else tables]
    numbers = [copies, heads, nodes, tiles.union.shape[2], scale]
    arguments = [*tensors, *_strides(q, k, v, grad), *numbers]
    launch = _tile("tile_backward_queries", q, bias, vendor, tiles, arguments)
    return launch, delta, grad_q, tables


def gather_backward_keys(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grad: Tensor,
    inverse: Inverse,
    bias: Tensor | None,
    logsumexp: Tensor,
    delta: Tensor,
    scale: float,
) -> tuple[Launch, Tensor, Tensor]:
    """The launch, and the gradients of keys and values that it fills."""
    windows, heads, nodes, _ = q.shape
    grad_k, grad_v = empty_merged(q), empty_merged(q)
    tensors = [q, k, v, grad, *inverse, q if bias is None else bias, logsumexp, delta]
    tensors += [grad_k, grad_v]
    numbers = [heads, nodes, inverse.queries.shape[1], scale]
    arguments = [*tensors, *_strides(q, k, v, grad), *numbers]
    launch = _gather("gather_backward_keys", q, bias, windows * nodes, arguments)
    return launch, grad_k, grad_v


def tile_backward_keys(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grad: Tensor,
    tiles: Tiles,
    bias: Tensor | None,
    logsumexp: Tensor,
    delta: Tensor,
    scale: float,
    vendor: str,
) -> tuple[Launch, Tensor, Tensor]:
    """The launch, and the gradients of keys and values that it fills."""
    _, heads, nodes, _ = q.shape
    grad_k, grad_v = empty_merged(q), empty_merged(q)
    tensors = [q, k, v, grad, *tiles, q if bias is None else bias, logsumexp, delta]
    tensors += [grad_k, grad_v]
    arguments = [*tensors, *_strides(q, k, v, grad), heads, nodes, tiles.union.shape[2], scale]
    launch = _tile("tile_backward_keys", q, bias, vendor, tiles, arguments)
    return launch, grad_k, grad_v
