"""Records: one line of JSON per finished cell, append-only.

A later record of the same cell and environment supersedes an earlier one; nothing is rewritten, so
a crash costs at most the line being written, which is then reported and skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from benchmarks.records.cell import Cell
from benchmarks.records.environment import Environment

Status = Literal["ok", "oom", "unsupported", "timeout", "failed"]


class Quantity(BaseModel):
    """One measured quantity; NaN and infinity, which JSON cannot hold, are refused.

    Attributes:
        value: the statistic's value; a metric that could not be taken is left out.
        unit: e.g. "ms", "bytes", "dB", or "" for a ratio.
        statistic: how the value came from the samples, e.g. "median".
        lo, hi: 99 % interval, where there is one.
        samples: raw samples in the order taken, where there are any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float
    unit: str = ""
    statistic: str = "exact"
    lo: float | None = None
    hi: float | None = None
    samples: tuple[float, ...] = ()

    @property
    def interval(self) -> tuple[float, float]:
        """(lo, hi), or the value twice where there is no interval."""
        return (
            self.value if self.lo is None else self.lo,
            self.value if self.hi is None else self.hi,
        )


class Record(BaseModel):
    """What a cell gave.

    Attributes:
        cell: the experiment.
        source: "measured" here, or "paper" for a printed number.
        status: "ok", or why there is no value; `reason` says it in words.
        metrics: measured quantities by name.
        checks: facts about the run: what ran, digests, error against the reference.
        per_image: scores by image and metric, of a quality cell.
        code: digest of what the record depends on (`benchmarks.plan.validity`).
        environment: machine and software; None for printed numbers.
        command: the command that was run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Cell
    source: Literal["measured", "paper"] = "measured"
    status: Status = "ok"
    reason: str = ""
    metrics: dict[str, Quantity] = {}
    checks: dict[str, Any] = {}
    per_image: dict[str, dict[str, Any]] = {}
    code: str = ""
    environment: Environment | None = None
    command: str = ""

    @property
    def environment_key(self) -> str:
        """Key of the environment, empty for printed numbers."""
        return self.environment.key if self.environment else ""


class RecordStore:
    """The records of one table in one file of JSON lines.

    Args:
        path: the file; it need not exist.

    Attributes:
        problems: "file:line: reason" of every line that could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[str] = []
        self._records: list[Record] = []
        if path.exists():
            self._read()

    def _read(self) -> None:
        for number, line in enumerate(self.path.read_bytes().split(b"\n"), start=1):
            if not line.strip():
                continue
            try:
                self._records.append(Record.model_validate_json(line))
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"])) or "line"
                self.problems.append(f"{self.path}:{number}: {where}: {first['msg']}")

    def append(self, record: Record) -> None:
        """Write a record to disk before anything else happens."""
        line = record.model_dump_json(exclude_defaults=True) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            if file.tell():
                # A line cut short by a crash must not swallow this one.
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = "\n" + line
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
        self._records.append(record)

    def latest(self, cells: Iterable[Cell], environment_key: str) -> dict[Cell, Record]:
        """The newest record of each cell in an environment; cells without one are left out."""
        wanted = set(cells)
        return {
            record.cell: record
            for record in self._records
            if record.cell in wanted and record.environment_key == environment_key
        }

    def newest_environment(self, cells: Iterable[Cell]) -> Environment | None:
        """Environment of the last record of any of these cells, None without records."""
        wanted = set(cells)
        for record in reversed(self._records):
            if record.cell in wanted and record.environment:
                return record.environment
        return None
