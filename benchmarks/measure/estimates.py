"""How fast the Triton kernels could be on GPUs that nobody has timed them on: an estimate.

A time is the longest of three: bytes from L2 at its bandwidth, bytes from memory at its, FLOPs at
the peak of the units that do them. It is a lower bound; launches, latency and softmax come on top.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from kgt.attention.triton.tiling import TILE

WINDOWS, HEADS, NODES, DIM, PADDED_DIM = 4, 6, 1024, 30, 32
# Keys in the union of a tile over k: of windows of 32 x 32 tokens of photographs in 180 random
# features (`photo_tokens`), as `tile_keys` makes them.
UNION_OVER_K = {64: 5.6, 128: 3.75, 256: 2.42, 512: 1.52}


@dataclass(frozen=True)
class Gpu:
    """Peaks of a GPU, in TB/s and TFLOP/s, dense.

    Attributes:
        memory: bandwidth of the device memory.
        l2: bandwidth of the L2 cache.
        float32: without matrix units.
        matrix_float32: products of float32 as the tile kernel makes them: a third of TF32 on
            NVIDIA (three products), float32 matrix units on AMD.
        matrix_bfloat16: bfloat16 on matrix units.
        source: where the numbers are from.
    """

    memory: float
    l2: float
    float32: float
    matrix_float32: float
    matrix_bfloat16: float
    source: str


# NVIDIA prints no L2 bandwidth after the A100: 5120 bytes per clock at boost is assumed of all.
GPUS = {
    "A100": Gpu(2.04, 7.2, 19.5, 156 / 3, 312, "A100 80GB SXM data sheet, GA100 white paper"),
    "H100": Gpu(3.35, 9.4, 67, 495 / 3, 989, "H100 SXM data sheet; L2 assumed"),
    "B200": Gpu(8.0, 9.4, 75, 1100 / 3, 2250, "HGX B200 data sheet; L2 assumed"),
    "MI300X": Gpu(5.3, 34.4, 163.4, 163.4, 1307, "MI300X data sheet, CDNA3 white paper"),
}


def estimate_kernels() -> Iterator[dict[str, Any]]:
    """Estimates of both kernels' forward passes on every GPU, for k of a photograph's graph."""
    sizes = {"float32": 4, "bfloat16": 2}
    for dtype, k, kernel, name in product(sizes, UNION_OVER_K, ("gather", "tile"), GPUS):
        union = min(NODES, round(k * UNION_OVER_K[k]))
        figures = bound(kernel, GPUS[name], sizes[dtype], k, union)
        named = {"estimate": kernel, "gpu": name, "dtype": dtype, "k": k}
        yield {**named, **figures, "source": GPUS[name].source}


def bound(kernel: str, gpu: Gpu, size: int, k: int, union: int) -> dict[str, Any]:
    """Bytes, FLOPs and the bound on the time of one forward pass.

    Args:
        kernel: "gather" or "tile".
        gpu: its peaks.
        size: bytes of an element, 4 or 2.
        k: keys of a query.
        union: keys of a tile of 32 queries.
    """
    queries = WINDOWS * HEADS * NODES
    once = 4 * queries * DIM * size
    if kernel == "gather":
        # Every query reads its indices, and a row of K and of V for each.
        l2 = queries * k * (2 * DIM * size + 4)
        memory = once + WINDOWS * NODES * k * 4
        flops = 4 * queries * k * DIM
        peak = gpu.float32
    else:
        # Every tile reads its union and its bits, and a row of K and of V for each.
        l2 = queries // TILE * union * (2 * DIM * size + 8)
        memory = once + WINDOWS * NODES // TILE * union * 8
        flops = 4 * queries * union * PADDED_DIM
        peak = gpu.matrix_float32 if size == 4 else gpu.matrix_bfloat16
    # Terabytes and teraflops a second are millions a microsecond.
    times = {
        "L2": l2 / gpu.l2 / 1e6,
        "memory": memory / gpu.memory / 1e6,
        "FLOPs": flops / peak / 1e6,
    }
    limit = max(times, key=lambda name: times[name])
    return {
        "l2_mb": l2 / 1e6,
        "memory_mb": memory / 1e6,
        "gflop": flops / 1e9,
        "bound_us": times[limit],
        "bound_by": limit,
    }
