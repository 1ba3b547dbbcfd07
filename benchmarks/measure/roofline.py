"""How near `native` comes to what this processor can do: a roofline whose peaks are measured.

A kernel takes at least as long as its FLOPs at the processor's peak, and at least as long as its
bytes at the bandwidth of the memory. Both peaks are those that torch's own operators reach here: a
large matrix product, and a copy that no cache holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure.problems import AttentionInputs
from kgt.attention.native.backend import GROUP, PLAN_HEADER, plan_groups

_SIDE = 768  # of the matrices; three of them fit into the second-level caches of two cores
_COPIED_BYTES = 2**28
PRODUCT, COPY = "product", "copy"


@dataclass(frozen=True)
class Work:
    """What attention along a graph has to do.

    Attributes:
        graph_flop: FLOPs of both products over the pairs of the graph: no method does less.
        union_flop: FLOPs where every group of queries multiplies the union of its keys.
        moved_bytes: inputs, graph, plan and output, each once.
    """

    graph_flop: int
    union_flop: int
    moved_bytes: int


def make_peak_calls() -> dict[str, Callable[[], Tensor]]:
    """The calls whose times are the peaks, to be timed in the same rounds as the kernel."""
    left, right = torch.ones(2, _SIDE, _SIDE).unbind()
    product = torch.empty(_SIDE, _SIDE)
    source = torch.ones(_COPIED_BYTES // 4)
    target = torch.empty_like(source)
    return {
        PRODUCT: partial(torch.mm, left, right, out=product),
        COPY: partial(target.copy_, source),
    }


def count_work(inputs: AttentionInputs) -> Work:
    """What a forward pass on the inputs has to do; FLOPs are two for a multiply-add."""
    windows, heads, nodes, dim = inputs.q.shape
    plan = plan_groups(inputs.graph)
    groups = windows * -(-nodes // GROUP)
    _, keys, pairs = plan[: PLAN_HEADER * groups].view(groups, PLAN_HEADER).long().sum(0).tolist()
    per_pair = 4 * heads * dim
    tensors = inputs.q, inputs.k, inputs.v, inputs.q, inputs.graph.indices, plan
    return Work(per_pair * pairs, per_pair * GROUP * keys, sum(t.nbytes for t in tensors))


def describe_roofline(work: Work, native_ms: float, peak_ms: Mapping[str, float]) -> dict[str, Any]:
    """Peaks, and the least times that they allow beside the time that was measured.

    Args:
        work: what has to be done.
        native_ms: milliseconds of the kernel.
        peak_ms: milliseconds of the calls of `make_peak_calls`.
    """
    flop_per_ms = 2 * _SIDE**3 / peak_ms[PRODUCT]
    bytes_per_ms = 2 * _COPIED_BYTES / peak_ms[COPY]
    return {
        "peak_gflop_s": flop_per_ms / 1e6,
        "peak_gb_s": bytes_per_ms / 1e6,
        "graph_gflop": work.graph_flop / 1e9,
        "union_gflop": work.union_flop / 1e9,
        "moved_mb": work.moved_bytes / 1e6,
        "graph_ms": work.graph_flop / flop_per_ms,
        "union_ms": work.union_flop / flop_per_ms,
        "memory_ms": work.moved_bytes / bytes_per_ms,
        "native_ms": native_ms,
    }
