"""Counts of what one call does, which do not depend on the speed of the machine."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.measure.counters import flop_counter
from kgt.tiles.memory import LiveTensorBytes


@dataclass(frozen=True)
class CallCounts:
    """What a call computed and allocated.

    Attributes:
        flops: of products and convolutions, a multiply-add as two.
        operators: how often each operator ran, by its name in torch.
        allocated_bytes: sum of all tensor storages that operators allocated, freed or not.
        peak_bytes: largest sum of those that were alive at the same time.
    """

    flops: int
    operators: dict[str, int]
    allocated_bytes: int
    peak_bytes: int


class OperatorCounter(LiveTensorBytes):
    """Counts operators and all bytes they allocate, beside those alive at the same time.

    Attributes:
        operators: calls by name.
        allocated: bytes of all storages so far. One that does not raise the peak counts, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operators: Counter[str] = Counter()
        self.allocated = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one operator, and count it and what it allocates."""
        before = self.live
        output = super().__torch_dispatch__(func, types, args, kwargs)
        self.operators[str(func)] += 1
        self.allocated += self.live - before
        return output


def count_call(call: Callable[[], object]) -> CallCounts:
    """Count the second of two calls, without gradients: the first fills what is kept for later.

    Args:
        call: does the same work each time it is called.
    """
    with torch.no_grad():
        call()
        gc.collect()
        # A collection in between would free storages at a moment that depends on the process.
        gc.disable()
        try:
            with flop_counter() as flops, OperatorCounter() as counter:
                call()
        finally:
            gc.enable()
    return CallCounts(
        flops.get_total_flops(),
        dict(sorted(counter.operators.items())),
        counter.allocated,
        counter.peak,
    )
