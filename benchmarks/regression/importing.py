"""Measurements as records, from record files and from the JSON of pytest-benchmark."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from benchmarks.records.reading import describe_faults, parse_json, read_bytes
from benchmarks.records.record import Record, RecordStore
from kgt.errors import quote

_NEEDED = ("cell_fields", "environment", "environment_key")
_MS = 1e3


class _Stats(BaseModel):
    median: FiniteFloat
    data: tuple[FiniteFloat, ...] = ()


class _Benchmark(BaseModel):
    fullname: str
    extra_info: dict[str, Any] = Field(default_factory=dict)
    stats: _Stats


class _File(BaseModel):
    """What is read of a file of pytest-benchmark."""

    benchmarks: list[_Benchmark]


def import_records(paths: Iterable[Path]) -> list[Record]:
    """All records of files: *.jsonl of the harness, *.json of pytest-benchmark.

    Raises:
        ValueError: naming the file that is absent or of neither form, and what is wrong with it.
    """
    records: list[Record] = []
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path} is no file")
        if path.suffix not in (".jsonl", ".json"):
            raise ValueError(f"{path} is neither *.jsonl of records nor *.json of pytest-benchmark")
        if path.suffix != ".jsonl":
            records += import_pytest_benchmark(path)
            continue
        store = RecordStore(path)
        if store.problems:
            raise ValueError(f"no record: {store.problems[0]}")
        records += store.records
    return records


def import_pytest_benchmark(path: Path) -> list[Record]:
    """The benchmarks of a JSON file as latency records: median and raw samples in ms.

    Write it with `pytest benchmarks/ --benchmark-only --benchmark-json FILE`. Without raw samples,
    as under `--benchmark-save`, the record has the median alone.

    Raises:
        ValueError: for a file of another form, or benchmarks without our cell and environment.
    """
    content = parse_json(read_bytes(path), _File, f"{path} is no JSON of pytest-benchmark")
    return [_as_record(path, benchmark) for benchmark in content.benchmarks]


def _as_record(path: Path, benchmark: _Benchmark) -> Record:
    name, extra, stats = quote(benchmark.fullname)[1:-1], benchmark.extra_info, benchmark.stats
    missing = [field for field in _NEEDED if field not in extra]
    if missing:
        raise ValueError(
            f"{path}: {name} has no {', '.join(missing)} in its extra_info, so it is unknown "
            "what was measured where; only benchmarks that use the fixture `measure` of "
            "benchmarks/conftest.py can be imported"
        )
    samples = [seconds * _MS for seconds in stats.data]
    latency = {"value": stats.median * _MS, "unit": "ms", "statistic": "median"}
    content = {
        "cell": extra["cell_fields"],
        "metrics": {"latency": {**latency, "samples": samples}},
        "checks": {"benchmark": name},
        "environment": extra["environment"],
        "command": "pytest benchmarks/ --benchmark-only",
    }
    try:
        record = Record.model_validate(content)
    except ValidationError as error:
        raise ValueError(f"{path}: {name}: {describe_faults(error)}") from error
    if record.environment_key != extra["environment_key"]:
        raise ValueError(
            f"{path}: {name}: its environment has the key {record.environment_key}, but the file "
            f"says {quote(extra['environment_key'])}; it was edited, or written by another version"
        )
    return record
