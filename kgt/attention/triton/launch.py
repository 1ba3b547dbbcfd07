"""How the Triton kernels are launched: grids, arguments, constants and warps.

A launch is data, so that what runs on a GPU can be compiled for it on any machine. Shapes and
layouts are those of the kernels.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from kgt.attention.bias import window_of
from kgt.attention.operators import empty_merged, empty_per_query
from kgt.attention.triton.tiling import TILE, Inverse, Keys, Tiles

Graph = Keys | Inverse | Tiles

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


@dataclass(frozen=True)
class Launches:
    """The launches of one attention call, by gathers or by tiles as the graph comes.

    Attributes:
        q, k, v: [W, H, N, D], any strides.
        bias: contiguous float32 table, or None.
        scale: factor of the scores.
        vendor: whose GPU it is for.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    bias: Tensor | None
    scale: float
    vendor: str = field(default_factory=vendor)

    def forward(self, graph: Keys | Tiles) -> tuple[Launch, Tensor, Tensor]:
        """The launch, and the out and log-sum-exp that it fills."""
        out, logsumexp = empty_merged(self.q), empty_per_query(self.q)
        arguments = self._arguments([], graph, [out, logsumexp])
        return self._launch("forward", graph, self._rows(graph), arguments), out, logsumexp

    def backward_queries(
        self, graph: Keys | Tiles, grad: Tensor, out: Tensor, logsumexp: Tensor
    ) -> tuple[Launch, Tensor, Tensor, Tensor | None]:
        """The launch, and what it fills: deltas, gradients of queries and of parts of the table."""
        rows = programs = self._rows(graph)
        if isinstance(graph, Tiles):
            parts = min(SHARED_TABLES, rows)
            numbers = [parts]
        else:
            share = 1 if self.bias is None else -(-rows // TABLE_PROGRAMS)
            parts = programs = -(-rows // share)
            numbers = [rows, share]
        delta, grad_q = empty_per_query(self.q), empty_merged(self.q)
        tables = None if self.bias is None else self.bias.new_zeros(parts, *self.bias.shape)
        results = [out, logsumexp, delta, grad_q, delta if tables is None else tables]
        arguments = self._arguments([grad], graph, results, numbers)
        launch = self._launch("backward_queries", graph, programs, arguments)
        return launch, delta, grad_q, tables

    def backward_keys(
        self, graph: Inverse | Tiles, grad: Tensor, logsumexp: Tensor, delta: Tensor
    ) -> tuple[Launch, Tensor, Tensor]:
        """The launch, and the gradients of keys and values that it fills."""
        grad_k, grad_v = empty_merged(self.q), empty_merged(self.q)
        arguments = self._arguments([grad], graph, [logsumexp, delta, grad_k, grad_v])
        return self._launch("backward_keys", graph, self._rows(graph), arguments), grad_k, grad_v

    def _rows(self, graph: Graph) -> int:
        """Tokens or tiles of all windows: one program does one."""
        if isinstance(graph, Tiles):
            return graph.counts.numel()
        return self.q.shape[0] * self.q.shape[2]

    def _arguments(
        self, grad: list[Tensor], graph: Graph, results: list[Tensor], numbers: Sequence[int] = ()
    ) -> tuple[Any, ...]:
        """A kernel's arguments: tensors, strides, sizes, scale."""
        read = [self.q, self.k, self.v, *grad]
        table = self.q if self.bias is None else self.bias
        strides = [stride for tensor in read for stride in tensor.stride()]
        _, heads, nodes, _ = self.q.shape
        sizes = [*numbers, heads, nodes, graph.length]
        return (*read, *graph, table, *results, *strides, *sizes, self.scale)

    def _launch(self, name: str, graph: Graph, programs: int, arguments: tuple[Any, ...]) -> Launch:
        """A launch of so many programs for each head."""
        _, heads, nodes, dim = self.q.shape
        grid = (programs, heads)
        constants: dict[str, Any] = {
            "HEAD_DIM": dim,
            "PADDED_DIM": max(16, 1 << (dim - 1).bit_length()),
            "WINDOW": 0 if self.bias is None else window_of(nodes),
        }
        if isinstance(graph, Tiles):
            block, warps, stages = self._tile_settings(name == "forward")
            # Three products in TF32 come near float32's own error, on tensor cores; AMD's matrix
            # cores take float32 as it is.
            precision = "ieee" if self.vendor == "hip" else "tf32x3"
            constants |= {"TILE": TILE, "BLOCK": block, "PRECISION": precision}
            return Launch("tile", f"tile_{name}", grid, arguments, constants, warps, stages)
        # Gradients of keys and values hold two sums for each slot: half the slots, and none spills.
        constants["BLOCK"] = 16 if name == "backward_keys" else 32
        return Launch("gather", f"gather_{name}", grid, arguments, constants, 4, 1)

    def _tile_settings(self, forward: bool) -> tuple[int, int, int]:
        """Keys at a time, warps and stages: of those without a spill at D = 32, the fastest.

        On AMD, where none was timed, those with the most keys.
        """
        if self.vendor == "hip":
            return (32 if forward else 16), 4, 1
        # Two warps to 32 queries keep operands of the products in registers; four are 1.5 times
        # slower.
        if self.q.dtype == torch.float32:
            return 16, 2, 3 if forward else 1 if self.bias is not None else 2
        return (32 if forward else 16), 2, 1
