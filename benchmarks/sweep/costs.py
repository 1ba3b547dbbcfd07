"""What jobs will take, from what their like took: never a guess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from csv import DictReader
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchmarks.plan.runner import Run
from benchmarks.records.cell import Cell, TrainingCell
from benchmarks.records.reading import read_json
from benchmarks.records.record import Record
from benchmarks.records.result import TrainingResult
from benchmarks.sweep.jobs import Job
from benchmarks.training.journal import DESCRIPTION, LOG
from benchmarks.training.recipes import Recipe, load_recipe


def render_costs(jobs: Sequence[Job], run: Run) -> str:
    """Jobs and core hours by kind, as lines of text; what was never measured is said."""
    times = CoreTimes(run.store.records, run.checkpoints)
    lines, total, unknown = [f"{'':10}{'jobs':>6}{'core hours':>12}"], 0.0, list[Job]()
    for kind, count in Counter(job.kind for job in jobs).items():
        found = {job: times.estimate(job) for job in jobs if job.kind == kind}
        seconds = sum(time for time in found.values() if time is not None)
        lines.append(f"{kind:10}{count:6}{seconds / 3600:12.2f}")
        total += seconds
        unknown += [job for job, time in found.items() if time is None]
    lines.append(f"{'all':10}{len(jobs):6}{total / 3600:12.2f}")
    if unknown:
        lines.append(f"without {len(unknown)} jobs whose like was never measured here")
        lines += _describe_trainings([job for job in unknown if job.kind == "train"])
    return "\n".join(lines)


def _describe_trainings(unknown: Sequence[Job]) -> list[str]:
    """How many steps the trainings without a measured step have, and how one is measured."""
    cells = [cell for job in unknown for cell in job.cells if isinstance(cell, TrainingCell)]
    named = [(cell.model, cell.recipe) for cell in cells if cell.recipe is not None]
    if not named:
        return []
    steps = sum(load_recipe(recipe).steps for _, recipe in named)
    model, recipe = named[0]
    return [
        f"among them {len(named)} trainings of {steps:,} steps; a few of them tell their time:",
        f"python -m benchmarks.train --model '{model}' --recipe '{recipe}:steps=20'",
    ]


class CoreTimes:
    """Seconds of a core that cells took, whatever their seeds; of trainings, seconds per step.

    A step is known by the model, the batch, the side of its patches and the keys of the recipe.

    Args:
        records: of any machine.
        checkpoints: folder of training folders.
    """

    def __init__(self, records: Iterable[Record], checkpoints: Path) -> None:
        self._cells: dict[Cell, float] = {}
        self._steps: dict[_Steps, float] = {}
        for record in records:
            # The recipe of an old one may be gone.
            with suppress(ValueError):
                self._note(record)
        for log in checkpoints.glob(f"*/{LOG}"):
            # A folder that is being written, or of old, counts for nothing.
            with suppress(OSError, ValueError, KeyError):
                self._read_training(log)

    def estimate(self, job: Job) -> float | None:
        """Seconds of a core, None where the like of a cell was never measured."""
        times = [self._find(cell) for cell in job.cells]
        known = [time for time in times if time is not None]
        return sum(known) if len(known) == len(times) else None

    def _find(self, cell: Cell) -> float | None:
        if isinstance(cell, TrainingCell) and cell.recipe is not None:
            recipe = load_recipe(cell.recipe)
            step = self._steps.get(_describe_steps(cell.model, recipe))
            return None if step is None else step * recipe.steps
        return self._cells.get(_without_seed(cell))

    def _note(self, record: Record) -> None:
        threads = record.environment.threads if record.environment else 1
        result, cell = record.result, record.cell
        if isinstance(result, TrainingResult) and isinstance(cell, TrainingCell) and cell.recipe:
            seconds = result.training_time.value * threads
            self._steps[_describe_steps(cell.model, load_recipe(cell.recipe))] = (
                seconds / result.steps
            )
        elif result.wall is not None and record.status == "ok":
            self._cells[_without_seed(cell)] = result.wall.value * threads

    def _read_training(self, log: Path) -> None:
        run = read_json(log.parent / DESCRIPTION, _Training)
        with log.open(encoding="utf-8", newline="") as file:
            *_, last = (row for row in DictReader(file) if row["seconds"])
        seconds = float(last["seconds"]) * run.environment.threads * run.processes
        self._steps[_describe_steps(run.model, run.recipe)] = seconds / int(last["step"])


class _Machine(BaseModel):
    threads: int


class _Training(BaseModel):
    """What counts of the description of a training."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    recipe: Recipe
    processes: int
    environment: _Machine


_Steps = tuple[str, int, int, int | tuple[int, ...] | None]


def _describe_steps(model: str, recipe: Recipe) -> _Steps:
    return model, recipe.batch, recipe.patch, recipe.k


def _without_seed(cell: Cell) -> Cell:
    return cell.model_copy(update={"seed": 0})
