"""Records: one line of JSON per finished cell, append-only.

A later record of the same cell and environment supersedes an earlier one; nothing is rewritten, so
a crash costs at most the line being written, which is then reported and skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
from benchmarks.records.reading import describe_faults, read_bytes
from benchmarks.records.result import (
    RESULTS,
    BenchmarkResult,
    Fault,
    Missing,
    PrintedResult,
    QualityResult,
    Result,
)
from kgt.files import append_line

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
    def is_absent(self) -> bool:
        """Whether weights or images are not here, which is nothing that a model cannot do."""
        return self.cell.kind in PORTABLE and self.status == "unsupported"

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


# What is the same on every machine, but for the rounding of sums.
PORTABLE = ("quality", "training")


class RecordStore:
    """The records of one table in one file of JSON lines, and in parts; none of them need exist.

    A part is a file of one of several processes that write at once, in a folder beside the file,
    until it is gathered into it.

    Attributes:
        records: in the order of their lines, those of parts last.
        problems: "file:line: reason" of every line that could not be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = self._written = path
        self.records: list[Record] = []
        self.problems: list[str] = []
        # The file comes last, so that what is gathered meanwhile is read once at least.
        parts = {part: _read_lines(part) for part in self.list_parts()}
        known: set[bytes] = set()
        for file, lines in {path: _read_lines(path), **parts}.items():
            self._take(file, {number: line for number, line in lines.items() if line not in known})
            known.update(lines.values())

    def _take(self, file: Path, lines: Mapping[int, bytes]) -> None:
        for number, line in lines.items():
            try:
                self.records.append(Record.model_validate_json(line))
            except ValidationError as error:
                self.problems.append(f"{file}:{number}: {describe_faults(error)}")

    def list_parts(self) -> list[Path]:
        """The parts that are there."""
        return sorted(self.path.with_suffix("").glob("*.jsonl"))

    def write_part(self, name: str) -> None:
        """Append to the part of this name from now on."""
        self._written = self.path.with_suffix("") / f"{name}.jsonl"

    def gather(self, part: Path) -> None:
        """Move the records of a part that nobody writes into the file.

        Where that is cut short, it is done again, and no record is there twice.
        """
        known = {*_read_lines(self.path).values()}
        for line in _read_lines(part).values():
            if line not in known and _read_record(line):
                append_line(self.path, line.decode())
        part.unlink()

    def append(self, record: Record) -> None:
        """Write a record to disk before anything else happens."""
        append_line(self._written, record.model_dump_json(exclude_defaults=True))
        self.records.append(record)

    def latest(self, cells: Iterable[Cell], environment_key: str) -> dict[Cell, Record]:
        """The newest record of each cell in an environment, in their order, where there is one.

        Scores of an older record from another environment stand in where this one has none.
        """
        own = (r for r in self.records if r.environment_key == environment_key)
        scores = (r for r in self.records if r.cell.kind in PORTABLE and r.status == "ok")
        found = {record.cell: record for record in (*scores, *own)}
        return {cell: found[cell] for cell in cells if cell in found}

    def find_beside(self, cells: Iterable[Cell]) -> Iterator[Record]:
        """What the other stores of the folder have of some cells, in the order of their names."""
        starts = tuple(
            b'{"cell":%s,' % cell.model_dump_json(exclude_defaults=True).encode() for cell in cells
        )
        for path in sorted(self.path.parent.glob("*.jsonl")) if starts else ():
            lines = _read_lines(path) if path != self.path else {}
            for line in lines.values():
                # Nearly all lines are of other cells, and need not be understood.
                if line.startswith(starts) and (record := _read_record(line)):
                    yield record

    def newest_environment(self, cells: Iterable[Cell]) -> Environment | None:
        """Environment of the last record of any of these cells, None without records.

        Records whose values depend on the machine go first.
        """
        wanted = set(cells)
        found = [r for r in reversed(self.records) if r.cell in wanted and r.environment]
        own = [record for record in found if record.cell.kind not in PORTABLE]
        return next((record.environment for record in own or found), None)

    def newest(self, cells: Iterable[Cell]) -> dict[Cell, Record]:
        """As `latest`, in the environment that was recorded last; empty without records."""
        cells = [*cells]
        environment = self.newest_environment(cells)
        return self.latest(cells, environment.key) if environment else {}


def _read_lines(path: Path) -> dict[int, bytes]:
    """The lines of a file that are not empty, by their numbers; none where there is no file."""
    try:
        lines = read_bytes(path).split(b"\n")
    except FileNotFoundError:
        return {}
    return {number: line for number, line in enumerate(lines, start=1) if line.strip()}


def _read_record(line: bytes) -> Record | None:
    """A line's record; None is what a crash has left of one."""
    try:
        return Record.model_validate_json(line)
    except ValidationError:
        return None
