"""From a table's plan to its records: reuse what is valid, measure what is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure.attention import (
    WrongOutputError,
    baseline_of,
    measure_latency_cells,
    measure_memory_cell,
)
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


def measure_cells(cells: Iterable[Cell], run: Run) -> Iterator[Record]:
    """Measure cells and append their records, those together whose times have one baseline.

    Yields:
        Their records, in the order of measuring.

    Raises:
        TrainingInterrupted: as `measure_cell`.
    """
    for group in _group(cells):
        run.on_step(group[0].id, 0)
        begin = time.perf_counter()
        results = _time_together(group, run) if len(group) > 1 else ()
        wall_s = (time.perf_counter() - begin) / len(group)
        yield from (_append(*pair, wall_s, run) for pair in zip(group, results, strict=False))
        if not results:
            # Whichever of them failed, the others have their times from a process of their own.
            yield from (measure_cell(cell, run) for cell in group)


def _group(cells: Iterable[Cell]) -> list[list[Cell]]:
    groups: dict[Cell, list[Cell]] = {}
    for cell in cells:
        key = cell
        if isinstance(cell, AttentionCell) and cell.kind == "latency":
            key = cell if _unsupported_reasons(cell) else baseline_of(cell)
        groups.setdefault(key, []).append(cell)
    return [*groups.values()]


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
    return _append(cell, result, time.perf_counter() - begin, run)


def _append(cell: Cell, result: Result, wall_s: float, run: Run) -> Record:
    wall = Quantity(value=round(wall_s, 4), unit="s", statistic="once")
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
    if cell.kind == "memory":
        outcome = _run_attention(measure_memory_cell, cell, [cell], run)
    else:
        outcome = _time([cell], run)
    if outcome.status == "ok":
        return outcome.value if cell.kind == "memory" else outcome.value[0]
    cost = closed_form(cell)
    if outcome.status != "oom" or cost is None:
        return Missing(status=outcome.status, reason=outcome.reason)
    return Missing(
        status="oom",
        reason=f"wanted {cost.peak_bytes / 2**20:,.0f} MiB by the closed form, "
        f"the limit is {run.profile.memory_limit_mib:,} MiB; {outcome.reason}",
        closed_form=Quantity(value=cost.peak_bytes, unit="bytes"),
    )


def _time_together(cells: Sequence[Any], run: Run) -> Sequence[Result]:
    """Results of latency cells with one baseline, none where one of the cells failed."""
    try:
        outcome = _time(cells, run)
    except WrongOutputError:  # of a GPU, which this process measures
        return ()
    return outcome.value if outcome.status == "ok" else ()


def _time(cells: Sequence[AttentionCell], run: Run) -> Outcome:
    return _run_attention(measure_latency_cells, (cells, run.profile.budget_s), cells, run)


def _run_attention(
    measure: Callable[[Any], Any], job: Any, cells: Sequence[AttentionCell], run: Run
) -> Outcome:
    """Measure cells: on a CPU in a fresh process, whose memory is theirs alone."""
    if cells[0].device:
        return _run_on_device(lambda: measure(job), run)
    limits = _limits(cells[0].threads, run)
    target = f"{measure.__module__}:{measure.__name__}"
    return run_isolated(target, job, **limits | {"timeout_s": limits["timeout_s"] * len(cells)})


def _run_on_device(measure: Callable[[], Any], run: Run) -> Outcome:
    """Measure in this process: a new one would need seconds to find the GPU, and gain nothing."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties().total_memory
    limit_bytes = run.profile.memory_limit_mib * 2**20
    torch.cuda.set_per_process_memory_fraction(min(1.0, limit_bytes / total))
    try:
        return Outcome("ok", measure())
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
