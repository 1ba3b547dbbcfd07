"""How far measured values lie from those quoted of the same method."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.plan.paper_rows import load_printed
from benchmarks.plan.specs import TableSpec, Twin
from benchmarks.records.cell import PrintedCell, QualityCell
from benchmarks.records.result import PrintedResult, QualityResult, Result
from benchmarks.report.judgment import Judgment, decide
from benchmarks.report.series import Records, select


@dataclass(frozen=True)
class Distance:
    """A measured quality minus the quoted one of its method, None where either has no value.

    `quoted` is the cell of that one, `partial` "25 of 100" where images of the set are missing.
    """

    twin: Twin
    cell: QualityCell
    quoted: PrintedCell
    psnr: float | None
    ssim: float | None
    partial: str | None


def measure_distances(spec: TableSpec, records: Records) -> list[Distance]:
    """The distances of all twins of a table that have a measured and a quoted value."""
    known = select(load_printed(spec), PrintedCell, PrintedResult)
    quoted = {(cell.model, cell.task, cell.dataset): cell for cell in known}
    distances = []
    for twin in spec.twins:
        for cell, result in select(records, QualityCell, QualityResult).items():
            other = quoted.get((twin.method, cell.task, cell.dataset))
            if other and (cell.model, cell.protocol) == (twin.model, twin.protocol):
                psnr, ssim = (_subtract(result, known[other], name) for name in ("psnr", "ssim"))
                distances.append(Distance(twin, cell, other, psnr, ssim, result.partial))
    return distances


def _subtract(measured: Result, printed: Result, name: str) -> float | None:
    ours, theirs = measured.quantity(name), printed.quantity(name)
    # Quoted numbers have few digits; the rest of a difference is noise of its binary form.
    return round(ours.value - theirs.value, 6) if ours and theirs else None


def judge_twins(spec: TableSpec, records: Records) -> list[Judgment]:
    """Whether every measured value of a complete set agrees with its quoted one."""
    distances = measure_distances(spec, records)
    known = select(load_printed(spec), PrintedCell, PrintedResult)
    sources = {cell.model: cell.source for cell in known}
    return [
        _judge_twin(twin, sources[twin.method], [d for d in distances if d.twin == twin])
        for twin in spec.twins
    ]


def _judge_twin(twin: Twin, source: str, distances: list[Distance]) -> Judgment:
    claim = f"{twin.model} reproduces {twin.method} {source} within {twin.within:g} dB"
    partial = {f"{d.cell.dataset} ({d.partial} images)": None for d in distances if d.partial}
    left_out = f"; left out as partial: {', '.join(partial)}" if partial else ""
    gaps = {d: d.psnr for d in distances if not d.partial and d.psnr is not None}
    if not gaps:
        return Judgment(claim, "NOT MEASURED", f"no complete set was measured{left_out}")
    worst = max(gaps, key=lambda distance: abs(gaps[distance]))
    beyond = sum(abs(gap) > twin.within for gap in gaps.values())
    evidence = (
        f"{len(gaps) - beyond} of {len(gaps)} values do; farthest {gaps[worst]:+.4f} dB, "
        f"{worst.cell.task} on {worst.cell.dataset}{left_out}"
    )
    cells = tuple(cell for d in gaps for cell in (d.cell, d.quoted))
    return Judgment(claim, decide(not beyond), evidence, cells)
