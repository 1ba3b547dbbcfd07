"""A sweep: the jobs of a profile of a study, and the files that they share."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchmarks.plan.specs import get_spec
from benchmarks.records.cell import Cell
from benchmarks.report.reproduction import Reproduction
from benchmarks.sweep.jobs import Job, plan_jobs
from kgt.errors import unknown


class JobRun(BaseModel):
    """When and where a job was done.

    Attributes:
        job: its name.
        machine: salted hash, different for each machine, that names none.
        start, end: seconds since 1970, from when it had its machine until it was done.
        exit: exit code of what it did.
    """

    model_config = ConfigDict(frozen=True)

    job: str
    machine: str
    start: float
    end: float
    exit: int


class Sweep:
    """The jobs of a profile of a study.

    The records of a job are a part of the study's (`RecordStore`). In the folder
    `results/sweeps/STUDY-PROFILE` are its lock, JOB.lock, what it says, JOB.log, and a line per run
    of it, JOB.jsonl.

    Raises:
        ValueError: an unknown study or profile.
    """

    def __init__(self, study: str, profile: str | None, results: Path) -> None:
        self.spec = get_spec(study, "study")
        self.name, self.profile = self.spec.profile(profile)
        self.results = results
        self.jobs = plan_jobs(self.profile.cells())
        self.folder = results / "sweeps" / self.spec.file_stem(self.name)

    def open(self) -> Reproduction:
        """The study with what is recorded by now."""
        return Reproduction(self.spec, self.name, self.profile, self.results)

    @property
    def cells(self) -> list[Cell]:
        """The cells of all jobs: those of the profile, and of trainings that they need."""
        return [cell for job in self.jobs for cell in job.cells]

    def find(self, name: str) -> Job:
        """A job by its name.

        Raises:
            ValueError: there is none, as where the study was planned by another version of it.
        """
        named = {job.name: job for job in self.jobs}
        if name not in named:
            raise unknown(f"job of study {self.spec.name}, profile {self.name}", name, named)
        return named[name]

    def path(self, name: str, suffix: str) -> Path:
        """A file of a job: its "lock", "log" or "jsonl"."""
        return self.folder / f"{name}.{suffix}"

    def last_words(self, name: str) -> str:
        """The last line that a job said, empty where it said nothing."""
        log = self.path(name, "log")
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), "")

    def last_run(self, name: str) -> JobRun:
        """The last run of a job that was done."""
        *_, line = self.path(name, "jsonl").read_bytes().splitlines()
        return JobRun.model_validate_json(line)
