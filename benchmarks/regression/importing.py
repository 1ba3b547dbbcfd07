"""Measurements as records, from record files and from the JSON of pytest-benchmark."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchmarks.records.cell import parse_cell
from benchmarks.records.environment import Environment
from benchmarks.records.record import Record
from benchmarks.records.result import BenchmarkResult, Quantity

_NEEDED = ("cell_fields", "environment", "environment_key")
_MS = 1e3


def import_records(paths: Iterable[Path]) -> list[Record]:
    """All records of files: *.jsonl of the harness, *.json of pytest-benchmark.

    Raises:
        ValueError: naming the file that is absent or of neither form, and what is wrong with it.
    """
    records: list[Record] = []
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path} is no file")
        read = import_record_file if path.suffix == ".jsonl" else import_pytest_benchmark
        records += read(path)
    return records


def import_record_file(path: Path) -> list[Record]:
    """The records of a file of JSON lines.

    Raises:
        ValueError: naming the first line that is no record.
    """
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append(Record.model_validate_json(line))
        except ValidationError as error:
            raise ValueError(f"{path}:{number} is no record: {_first(error)}") from error
    return records


def import_pytest_benchmark(path: Path) -> list[Record]:
    """The benchmarks of a JSON file as latency records: median and raw samples in ms.

    Write it with `pytest benchmarks/ --benchmark-only --benchmark-json FILE`. Without raw samples,
    as under `--benchmark-save`, the record has the median alone.

    Raises:
        ValueError: for a file of another form, or benchmarks without our cell and environment.
    """
    try:
        benchmarks = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no JSON of pytest-benchmark: {error!r}") from error
    return [_as_record(path, benchmark) for benchmark in benchmarks]


def _as_record(path: Path, benchmark: dict[str, Any]) -> Record:
    name, extra = benchmark["fullname"], benchmark["extra_info"]
    missing = [field for field in _NEEDED if field not in extra]
    if missing:
        raise ValueError(
            f"{path}: {name} has no {', '.join(missing)} in its extra_info, so it is unknown "
            "what was measured where; only benchmarks that use the fixture `measure` of "
            "benchmarks/conftest.py can be imported"
        )
    try:
        cell = parse_cell(extra["cell_fields"])
        environment = Environment(**extra["environment"])
    except ValidationError as error:
        raise ValueError(f"{path}: {name}: {_first(error)}") from error
    if environment.key != extra["environment_key"]:
        raise ValueError(
            f"{path}: {name}: its environment has the key {environment.key}, but the file says "
            f"{extra['environment_key']}; it was edited, or written by another version"
        )
    stats = benchmark["stats"]
    latency = Quantity(
        value=stats["median"] * _MS,
        unit="ms",
        statistic="median",
        samples=tuple(seconds * _MS for seconds in stats.get("data", ())),
    )
    return Record(
        cell=cell,
        result=BenchmarkResult(latency=latency, benchmark=name),
        environment=environment,
        command="pytest benchmarks/ --benchmark-only",
    )


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
