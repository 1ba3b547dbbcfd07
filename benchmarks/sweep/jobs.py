"""The jobs of a study: which cells each has, and which jobs come before it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.records.cell import Cell, QualityCell, TrainingCell
from benchmarks.records.record import PORTABLE

JobKind = Literal["time", "train", "evaluate", "render"]


@dataclass(frozen=True)
class Job:
    """What one process does.

    Attributes:
        kind: "time" measures what depends on the machine, alone on it; "train" trains one network
            and "evaluate" scores one; "render" writes the page.
        cells: what it measures.
        needs: names of the jobs that must have ended before.
    """

    kind: JobKind
    cells: tuple[Cell, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its kind and the digest of its cells."""
        digest = hashlib.sha256("\n".join(cell.hash for cell in self.cells).encode())
        return f"{self.kind}-{digest.hexdigest()[:12]}"


def plan_jobs(cells: Sequence[Cell]) -> list[Job]:
    """The jobs that measure some cells, and render them, in an order in which they can be done.

    All cells whose values depend on the machine are one job: they compare on one machine alone.
    There is a job per training, and one that scores its network, or a network that ships.
    """
    timed = tuple(cell for cell in cells if cell.kind not in PORTABLE)
    trained: dict[_Network, list[Cell]] = defaultdict(list)
    scored: dict[_Network, list[Cell]] = defaultdict(list)
    for cell in cells:
        if isinstance(cell, TrainingCell) and cell.recipe is not None:
            trained[_network_of(cell)].append(cell)
        elif isinstance(cell, QualityCell | TrainingCell):
            scored[_network_of(cell)].append(cell)
    for model, recipe, seed in scored:
        if recipe is not None and (model, recipe, seed) not in trained:
            own = TrainingCell(kind="training", model=model, recipe=recipe, seed=seed)
            trained[model, recipe, seed].append(own)
    trainings = {network: Job("train", tuple(found)) for network, found in trained.items()}
    evaluations = [
        Job("evaluate", tuple(found), (trainings[network].name,) if network in trainings else ())
        for network, found in scored.items()
    ]
    # Timings first: on an empty machine they wait for nobody.
    timings = [Job("time", timed)] if timed else []
    jobs = [*timings, *trainings.values(), *evaluations]
    return [*jobs, Job("render", needs=tuple(job.name for job in jobs))]


def choose_pending(jobs: Sequence[Job], missing: Collection[Cell]) -> list[Job]:
    """The jobs that have a cell without a record, and the one that renders."""
    wanted = set(missing)
    pending = [job for job in jobs if job.kind == "render" or not wanted.isdisjoint(job.cells)]
    names = {job.name for job in pending}
    return [replace(job, needs=tuple(n for n in job.needs if n in names)) for job in pending]


# Model, recipe and seed; of a network that ships, whatever the seed of its cells is.
_Network = tuple[str, str | None, int]


def _network_of(cell: QualityCell | TrainingCell) -> _Network:
    return cell.model, cell.recipe, cell.seed if cell.recipe is not None else 0
