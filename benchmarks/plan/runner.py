"""From a table's plan to its records: reuse what is valid, measure what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure.attention import measure_latency_cell, measure_memory_cell
from benchmarks.measure.problems import AUTO, DENSE, closed_form, shape_of
from benchmarks.measure.sandbox import Outcome, run_isolated
from benchmarks.plan.networks import run_cost_cell, run_restoration_cell
from benchmarks.plan.quality import run_quality_cell, run_training_cell
from benchmarks.plan.specs import Profile
from benchmarks.plan.validity import code_digest, is_valid
from benchmarks.records.cell import (
    AttentionCell,
    BaseCell,
    Cell,
    NetworkCell,
    QualityCell,
    RestorationCell,
    TrainingCell,
)
from benchmarks.records.environment import Environment
from benchmarks.records.record import PORTABLE, Record, RecordStore
from benchmarks.records.result import Missing, Quantity, Result
from benchmarks.training.loop import TrainingInterrupted
from kgt.attention import get_backend


@dataclass(frozen=True)
class Run:
    """What all cells of one run share.

    Attributes:
        profile: limits of the measurement.
        store, environment, command: where records go, and what they say of where and how.
        checkpoints: folder of training checkpoints and weights.
        on_step: called with (what is going on, fraction done) within a long cell.
    """

    profile: Profile
    store: RecordStore
    environment: Environment
    command: str
    checkpoints: Path
    on_step: Callable[[str, float], None] = lambda what, fraction: None


def find_missing(cells: Sequence[Cell], run: Run) -> list[Cell]:
    """Those of some cells that have no valid record of this environment."""
    records, limits = run.store.latest(cells, run.environment.key), run.profile.limits
    return [cell for cell in cells if cell not in records or not is_valid(records[cell], limits)]


def plan_cells(cells: Sequence[Cell], run: Run) -> tuple[list[Cell], list[Record]]:
    """Those of some cells that must be measured, and records of other tables that serve the rest.

    The records are not yet in the run's store.
    """
    missing = find_missing(cells, run)
    scores = find_scores(missing, run)
    return [cell for cell in missing if cell not in scores], [*scores.values()]


def find_scores(cells: Iterable[Cell], run: Run) -> dict[Cell, Record]:
    """Valid scores of some cells that other tables and studies have recorded.

    A score is the same whoever asks for it; a time is of the machine and the rounds of its table.
    """
    portable = [cell for cell in cells if cell.kind in PORTABLE]
    return {
        record.cell: record
        for record in run.store.find_beside(portable)
        if record.status == "ok" and is_valid(record, run.profile.limits)
    }


def measure_cell(cell: Cell, run: Run) -> Record:
    """Measure one cell and append its record; what goes wrong becomes a record, too.

    Raises:
        TrainingInterrupted: on SIGTERM or Ctrl-C in a training, of which there is no record.
    """
    begin = time.perf_counter()
    try:
        result = _RUNNERS[type(cell)](cell, run)
    except TrainingInterrupted:
        raise
    except Exception as error:
        result = Missing(status="failed", reason=f"{type(error).__name__}: {error}")
    wall = Quantity(value=round(time.perf_counter() - begin, 4), unit="s", statistic="once")
    record = Record(
        cell=cell,
        result=result.model_copy(update={"wall": wall}),
        code=code_digest(cell, run.profile.limits),
        environment=run.environment,
        command=run.command,
    )
    run.store.append(record)
    return record


def _limits(threads: int | None, run: Run) -> dict[str, Any]:
    """What `run_isolated` may spend on a cell."""
    return {
        "memory_limit_bytes": run.profile.memory_limit_mib * 2**20,
        "timeout_s": run.profile.timeout_s,
        "threads": threads or run.environment.threads,
    }


def _run_attention_cell(cell: AttentionCell, run: Run) -> Result:
    reasons = _unsupported_reasons(cell)
    if reasons:
        return Missing(status="unsupported", reason="; ".join(reasons))
    outcome = (_run_on_device if cell.device else _run_on_cpu)(cell, run)
    if outcome.status == "ok":
        return outcome.value
    cost = closed_form(cell)
    if outcome.status != "oom" or cost is None:
        return Missing(status=outcome.status, reason=outcome.reason)
    return Missing(
        status="oom",
        reason=f"wanted {cost.peak_bytes / 2**20:,.0f} MiB by the closed form, "
        f"the limit is {run.profile.memory_limit_mib:,} MiB; {outcome.reason}",
        closed_form=Quantity(value=cost.peak_bytes, unit="bytes"),
    )


def _run_on_cpu(cell: AttentionCell, run: Run) -> Outcome:
    """Measure in a fresh process, whose memory is the cell's alone."""
    job = cell if cell.kind == "memory" else (cell, run.profile.budget_s)
    target = f"benchmarks.measure.attention:measure_{cell.kind}_cell"
    return run_isolated(target, job, **_limits(cell.threads, run))


def _run_on_device(cell: AttentionCell, run: Run) -> Outcome:
    """Measure in this process: a new one would need seconds to find the GPU, and gain nothing."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties().total_memory
    limit_bytes = run.profile.memory_limit_mib * 2**20
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / total))
    try:
        if cell.kind == "memory":
            return Outcome("ok", measure_memory_cell(cell))
        return Outcome("ok", measure_latency_cell((cell, run.profile.budget_s)))
    except torch.OutOfMemoryError as error:
        return Outcome("oom", reason=str(error))


def _unsupported_reasons(cell: AttentionCell) -> list[str]:
    if cell.device and not torch.cuda.is_available():
        return ["needs a CUDA device, and there is none"]
    if cell.kind == "memory" and cell.backend == "flex":
        return ["flex is compiled as a whole, and tensors within compiled code are not counted"]
    return [
        f"{name} {reason}"
        for name in dict.fromkeys((cell.backend, cell.baseline or cell.backend))
        if name not in (DENSE, AUTO)
        for reason in get_backend(name).unsupported_reasons(shape_of(cell))
    ]


def _run_network_cell(cell: NetworkCell, run: Run) -> Result:
    if cell.device:
        return Missing(status="unsupported", reason="whole networks are measured on a CPU alone")
    if cell.kind == "cost":
        return run_cost_cell(cell)
    job = (cell, 1 if cell.kind == "memory" else run.profile.budget_s)
    target = f"benchmarks.measure.networks:measure_network_{cell.kind}"
    outcome = run_isolated(target, job, **_limits(cell.threads, run))
    if outcome.status == "ok":
        return outcome.value
    reason = outcome.reason
    if outcome.status == "oom":
        reason = f"needs more than the {run.profile.memory_limit_mib:,} MiB allowed; {reason}"
    return Missing(status=outcome.status, reason=reason)


_RUNNERS: dict[type[BaseCell], Callable[[Any, Run], Result]] = {
    AttentionCell: _run_attention_cell,
    NetworkCell: _run_network_cell,
    RestorationCell: lambda cell, run: run_restoration_cell(
        cell, _limits(None, run), lambda done: run.on_step(cell.model, done)
    ),
    QualityCell: lambda cell, run: run_quality_cell(cell, run.checkpoints, run.on_step),
    TrainingCell: lambda cell, run: run_training_cell(cell, run.checkpoints, run.on_step),
}
