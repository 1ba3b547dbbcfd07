"""Records: one line of JSON per finished cell, append-only.

A later record of the same cell and environment supersedes an earlier one; nothing is rewritten, so
a crash costs at most the line being written, which is then reported and skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from benchmarks.records.cell import Cell
from benchmarks.records.environment import Environment
from benchmarks.records.result import (
    RESULTS,
    BenchmarkResult,
    Fault,
    Missing,
    PrintedResult,
    QualityResult,
    Result,
)

# Where JSON has the parts of a result.
_PARTS = ("metrics", "checks", "per_image", "status", "reason")
# Names that early records have.
_RENAMED = {"peak_rss": "peak", "rss_over_closed_form": "peak_over_closed_form"}


class Record(BaseModel):
    """What a cell gave.

    As JSON the quantities of the result are "metrics" by name, and what else it says are "checks":
    what ran, digests, error against the reference.

    Attributes:
        cell, result: the experiment, and its result or why there is none.
        code: digest of what the record depends on (`benchmarks.plan.validity`).
        environment: machine and software; None for printed numbers.
        command: the command that was run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Cell
    result: Result
    code: str = ""
    environment: Environment | None = None
    command: str = ""

    @property
    def status(self) -> Literal["ok"] | Fault:
        """Whether there are values, or what went wrong."""
        return self.result.status if isinstance(self.result, Missing) else "ok"

    @property
    def reason(self) -> str:
        """Why there are no values, empty where there are."""
        return self.result.reason if isinstance(self.result, Missing) else ""

    @property
    def source(self) -> Literal["measured", "paper"]:
        """Whether the values were measured here or printed."""
        return "paper" if isinstance(self.result, PrintedResult) else "measured"

    @property
    def environment_key(self) -> str:
        """Key of the environment, empty for printed numbers."""
        return self.environment.key if self.environment else ""

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        """Put the parts of the result together, which lie apart in JSON."""
        if not isinstance(data, Mapping) or "result" in data:
            return data
        rest = dict(data)
        rest.pop("source", None)  # which a printed cell says itself
        parts = {name: rest.pop(name) for name in _PARTS if name in rest}
        return {**rest, "result": parts}

    @field_validator("result", mode="before")
    @classmethod
    def _build(cls, parts: Any, info: ValidationInfo) -> Any:
        """The result of parts, of the type of the cell's kind."""
        cell = info.data.get("cell")
        if not isinstance(parts, Mapping) or cell is None:
            return parts
        metrics, checks, per_image = (parts.get(name, {}) for name in _PARTS[:3])
        if not all(isinstance(part, Mapping) for part in (metrics, checks, per_image)):
            raise ValueError("metrics, checks and per_image are objects")
        fields = {_RENAMED.get(name, name): value for name, value in metrics.items()}
        if parts.get("status", "ok") != "ok":
            fields |= {"status": parts["status"], "reason": parts.get("reason", "")}
            return Missing.model_validate({**fields, **checks})
        form = BenchmarkResult if "benchmark" in checks else RESULTS[type(cell), cell.kind]
        if form is QualityResult:
            apart = {name: fields.pop(name) for name in ("gain", "wall") if name in fields}
            fields = {**apart, "scores": fields, "per_image": per_image}
        return form.model_validate({**fields, **checks})

    @model_serializer
    def _scatter(self) -> dict[str, Any]:
        """The parts of the result where JSON has them; what is not set is left out."""
        quantities = self.result.quantities()
        if "wall" in quantities:
            quantities["wall"] = quantities.pop("wall")
        metrics = {n: value.model_dump(exclude_defaults=True) for n, value in quantities.items()}
        own: dict[str, Any] = {"metrics": metrics, "checks": {}}
        for name, value in self.result:
            if name in ("status", "reason", "per_image"):
                own[name] = value
            elif name not in ("scores", *quantities) and value is not None:
                own["checks"][name] = value
        if self.source == "paper":
            own["source"] = "paper"
        whole = {"cell": self.cell, **own, "code": self.code, "environment": self.environment}
        whole["command"] = self.command
        return {
            name: value.model_dump(exclude_defaults=True) if isinstance(value, BaseModel) else value
            for name, value in whole.items()
            if value
        }


def first_fault(error: ValidationError) -> str:
    """Where the first fault of a record is, and what is wrong there."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']}"


class RecordStore:
    """The records of one table in one file of JSON lines, which need not exist.

    Attributes:
        records: in the order of their lines.
        problems: "file:line: reason" of every line that could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []
        self.problems: list[str] = []
        if path.exists():
            self._read()

    def _read(self) -> None:
        for number, line in enumerate(self.path.read_bytes().split(b"\n"), start=1):
            if not line.strip():
                continue
            try:
                self.records.append(Record.model_validate_json(line))
            except ValidationError as error:
                self.problems.append(f"{self.path}:{number}: {first_fault(error)}")

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
        self.records.append(record)

    def latest(self, cells: Iterable[Cell], environment_key: str) -> dict[Cell, Record]:
        """The newest record of each cell in an environment; cells without one are left out."""
        wanted = set(cells)
        return {
            record.cell: record
            for record in self.records
            if record.cell in wanted and record.environment_key == environment_key
        }

    def newest_environment(self, cells: Iterable[Cell]) -> Environment | None:
        """Environment of the last record of any of these cells, None without records."""
        wanted = set(cells)
        found = (r.environment for r in reversed(self.records) if r.cell in wanted)
        return next(filter(None, found), None)
