"""Whatever the harness reads of JSON: each is read, or refused in words."""

import json
from itertools import islice
from pathlib import Path
from unittest import mock

from benchmarks.measure import kernels
from benchmarks.records.record import RecordStore
from benchmarks.regression import exact
from benchmarks.regression.calibration import read_calibrations, render_calibrations
from benchmarks.regression.importing import import_records
from tests.fuzzing.harness import documented
from tests.fuzzing.mutation import as_json, changed_bytes, changed_values, kept

SUFFIX = ".json"
_RESULTS = Path(__file__).parents[2] / "results"


def _records():
    """The shortest record of every kind of cell."""
    found = {}
    for path in sorted(_RESULTS.glob("records/*.jsonl")):
        with path.open() as lines:
            for line in islice(lines, 40):
                record = json.loads(line)
                kind = tuple(record["cell"])
                found[kind] = min(found.get(kind, line), line, key=len)
    return [json.loads(line) for line in found.values()]


def _calibration():
    content = json.loads((_RESULTS / "calibration.jsonl").read_text().splitlines()[0])
    return {**content, "results": content["results"][:2]}


def _benchmark(record):
    """As pytest-benchmark writes it."""
    extra = {
        "cell_fields": {"kind": "latency", "benchmark": "b"},
        "environment": record["environment"],
        "environment_key": "0",
    }
    stats = {"median": 0.5, "data": [0.5, 0.25]}
    return {"benchmarks": [{"fullname": "b", "extra_info": extra, "stats": stats}]}


_EXACT = json.loads((_RESULTS / "blessed/exact.json").read_text())
_EXACT["values"] = {kind: dict(list(names.items())[:2]) for kind, names in _EXACT["values"].items()}
_KERNELS = json.loads((_RESULTS / "blessed/triton-kernels.json").read_text())
_RECORDS = _records()
_SEEDS = [*_RECORDS, _calibration(), _benchmark(_RECORDS[0]), _EXACT, _KERNELS]
_DEEP = [b"[" * 100_000, b'{"benchmarks":' * 50_000, b'{"a":' * 3000 + b"1" + b"}" * 3000]
_DEEP += [b'{"torch": ' + b"9" * 5000 + b"}", b'{"benchmarks": true}', b"\xff\xfe", b"\0"]

INPUTS = as_json(changed_values(_SEEDS)) | changed_bytes(
    [*(json.dumps(seed).encode() for seed in _SEEDS), *_DEEP, *kept("records")]
)


def attempt(data, folder):
    as_lines, as_whole = folder / "x.jsonl", folder / "x.json"
    as_lines.write_bytes(data)
    as_whole.write_bytes(data)
    store = RecordStore(as_lines)
    assert store.records or store.problems or not data.strip()
    for record in store.records:
        assert RecordStore(_write(folder / "again.jsonl", record)).records == [record]
        assert record.cell.id
        assert record.environment is None or record.environment.describe()
    with documented():
        import_records([as_lines])
    with documented():
        import_records([as_whole])
    with documented():
        render_calibrations(read_calibrations(as_lines))
    with documented(), mock.patch.object(exact, "BLESSED", as_whole):
        list(exact.judge_values([], exact.load_blessed()))
    with documented(), mock.patch.object(kernels, "BLESSED", as_whole):
        kernels.judge_usage({}, kernels.load_blessed())


def _write(path, record):
    path.unlink(missing_ok=True)
    RecordStore(path).append(record)
    return path
