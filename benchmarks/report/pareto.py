"""Methods in the plane of time and quality."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from benchmarks.records.record import Quantity
from benchmarks.report.series import Records


@dataclass(frozen=True)
class Method:
    """A method's place in the plane of time and quality.

    Attributes:
        model: its name.
        k: keys per token where they were chosen.
        psnr: dB.
        ratio: time over the baseline's, with its interval.
    """

    model: str
    k: int | None
    psnr: float
    ratio: Quantity


def place_methods(records: Records) -> dict[tuple[str, str], list[Method]]:
    """Methods that have both a time and a PSNR, by (task, set), the fastest first."""
    times = {
        (cell.task, cell.model, cell.recipe, cell.k): record.metrics["ratio"]
        for cell, record in records.items()
        if cell.kind == "latency" and "ratio" in record.metrics
    }
    placed: dict[tuple[str, str], list[Method]] = defaultdict(list)
    for cell, record in records.items():
        ratio = times.get((cell.task, cell.model, cell.recipe, cell.k))
        if cell.kind == "quality" and ratio is not None and "psnr" in record.metrics:
            method = Method(str(cell.model), cell.k, record.metrics["psnr"].value, ratio)
            placed[str(cell.task), str(cell.dataset)].append(method)
    return {
        key: sorted(methods, key=lambda method: method.ratio.value)
        for key, methods in placed.items()
    }


def pareto_front(methods: list[Method]) -> list[Method]:
    """Those of methods, the fastest first, that no faster one equals in quality."""
    front: list[Method] = []
    for method in methods:
        if not front or method.psnr > front[-1].psnr:
            front.append(method)
    return front
