"""Records: one line of JSON per finished cell, append-only.

A later record of the same cell and environment supersedes an earlier one; nothing is rewritten, so
a crash costs at most the line being written, which is then reported and skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_serializer,
    model_validator,
)

from benchmarks.records.cell import Cell, tag_cell
from benchmarks.records.environment import Environment
from benchmarks.records.result import RESULTS, AnyResult, Fault, Missing, PrintedResult

_FORMS = {
    (cell.__name__, kind): result.model_fields["form"].default
    for (cell, kind), result in RESULTS.items()
}
# Names that early records have.
_RENAMED = {"peak_rss": "peak", "rss_over_closed_form": "peak_over_closed_form"}


class Record(BaseModel):
    """What a cell gave.

    As JSON the quantities of the result are "metrics" by name, and what else it says are "checks":
    what ran, digests, error against the reference.

    Attributes:
        cell: the experiment.
        result: of the type of the cell's kind, or why there is none.
        code: digest of what the record depends on (`benchmarks.plan.validity`).
        environment: machine and software; None for printed numbers.
        command: the command that was run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: Cell
    result: Annotated[AnyResult, Field(discriminator="form")]
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
        """Put the result together, whose parts lie apart in JSON."""
        if not isinstance(data, Mapping) or "result" in data:
            return data
        rest = dict(data)
        parts = {name: rest.pop(name, {}) for name in ("metrics", "checks", "per_image")}
        if not all(isinstance(part, Mapping) for part in parts.values()):
            raise ValueError("metrics, checks and per_image are objects")
        quantities = {_RENAMED.get(name, name): value for name, value in parts["metrics"].items()}
        result = {**quantities, **parts["checks"]}
        status = rest.pop("status", "ok")
        rest.pop("source", None)  # which a printed cell says itself
        cell = rest.get("cell")
        if status != "ok":
            result |= {"form": "missing", "status": status, "reason": rest.pop("reason", "")}
        elif "benchmark" in result:
            result["form"] = "benchmark"
        elif isinstance(cell, Mapping):
            result["form"] = _FORMS.get((str(tag_cell(cell)), str(cell.get("kind"))))
        if result.get("form") == "quality":
            apart = {name: result.pop(name) for name in ("gain", "wall") if name in result}
            scores = {name: result.pop(name) for name in quantities if name in result}
            result |= {**apart, "scores": scores, "per_image": parts["per_image"]}
        return {**rest, "result": result}

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
            elif name not in ("form", "scores", *quantities) and value is not None:
                own["checks"][name] = value
        if self.source == "paper":
            own["source"] = "paper"
        environment = self.environment and self.environment.model_dump(exclude_defaults=True)
        whole = {
            "cell": self.cell.model_dump(exclude_defaults=True),
            **own,
            "code": self.code,
            "environment": environment,
            "command": self.command,
        }
        return {name: value for name, value in whole.items() if value}


def first_fault(error: ValidationError) -> str:
    """Where the first fault of a record is, and what is wrong there."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'line'}: {first['msg']}"


class RecordStore:
    """The records of one table in one file of JSON lines.

    Args:
        path: the file; it need not exist.

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
        for record in reversed(self.records):
            if record.cell in wanted and record.environment:
                return record.environment
        return None
