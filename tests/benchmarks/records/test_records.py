import math

import pytest

from benchmarks.records.cell import Cell
from benchmarks.records.environment import capture_environment
from benchmarks.records.record import Quantity, Record, RecordStore

CELLS = [Cell(kind="memory", n=64, k=k, backend="sdpa") for k in (1, 2, 3)]


@pytest.fixture(scope="module")
def here():
    return capture_environment()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records" / "table.jsonl"


def make_record(environment, cell=CELLS[0], value=1.0, **fields):
    metric = Quantity(value=value, unit="ms", statistic="median", lo=0.5, samples=(1.0, 0.1 + 0.2))
    return Record(cell=cell, environment=environment, metrics={"latency": metric}, **fields)


def test_records_come_back_as_they_were(path, here):
    records = [
        make_record(here, CELLS[0], 1 / 3, checks={"why": "ä | \n", "failed": {}}, code="abc"),
        Record(cell=CELLS[1], environment=here, status="oom", reason="wanted 3 MiB"),
        Record(cell=CELLS[2], environment=here, per_image={"a": {"psnr": "exact", "ssim": 0.5}}),
    ]
    store = RecordStore(path)
    assert store.latest(CELLS, here.key) == {}
    assert store.newest_environment(CELLS) is None
    for record in records:
        store.append(record)
    read = RecordStore(path)
    assert read.problems == []
    expected = dict(zip(CELLS, records, strict=True))
    assert read.latest(CELLS, here.key) == store.latest(CELLS, here.key) == expected
    assert read.newest_environment(CELLS) == here
    assert set(read.latest(CELLS[:1], here.key)) == {CELLS[0]}


@pytest.mark.parametrize(
    ("junk", "reason"),
    [
        (b'{"cell":{"kind":"mem', "JSON"),
        (b"[1, 2]", "object"),
        (b"{}", "cell: Field required"),
        (b'{"cell":{"kind":"memory","n":"many"}}', "cell.n"),
        (b'{"cell":{"kind":"memory"},"surprise":1}', "surprise"),
        (b"\xff\xfe\x00\r\x85junk\rjunk", "JSON"),
        (b"[" * 5000, "JSON"),
    ],
)
def test_bad_line_is_named_and_the_rest_is_read(path, here, junk, reason):
    store = RecordStore(path)
    store.append(make_record(here, CELLS[0]))
    with path.open("ab") as file:
        file.write(junk + b"\n\n")
    store.append(make_record(here, CELLS[1]))
    read = RecordStore(path)
    assert set(read.latest(CELLS, here.key)) == set(CELLS[:2])
    (problem,) = read.problems
    assert problem.startswith(f"{path}:2: ")
    assert reason in problem


def test_append_after_a_line_cut_short_damages_neither(path, here):
    store = RecordStore(path)
    store.append(make_record(here, CELLS[0]))
    store.append(make_record(here, CELLS[1]))
    whole = path.read_bytes()
    cut = whole[:-40]
    path.write_bytes(cut)
    resumed = RecordStore(path)
    resumed.append(make_record(here, CELLS[2]))
    assert path.read_bytes().startswith(cut + b"\n")
    read = RecordStore(path)
    assert set(read.latest(CELLS, here.key)) == {CELLS[0], CELLS[2]}
    assert [problem.split(": ")[0] for problem in read.problems] == [f"{path}:2"]


def test_line_whose_newline_alone_was_cut_is_kept(path, here):
    store = RecordStore(path)
    store.append(make_record(here, CELLS[0]))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    RecordStore(path).append(make_record(here, CELLS[1]))
    read = RecordStore(path)
    assert read.problems == []
    assert set(read.latest(CELLS, here.key)) == set(CELLS[:2])


def test_later_record_supersedes_and_nothing_is_rewritten(path, here):
    store = RecordStore(path)
    store.append(make_record(here, value=1.0))
    first = path.read_bytes()
    store.append(make_record(here, value=2.0))
    assert path.read_bytes().startswith(first)
    for view in (store, RecordStore(path)):
        assert view.latest(CELLS, here.key)[CELLS[0]].metrics["latency"].value == 2.0


def test_environments_are_kept_apart(path, here):
    there = here.model_copy(update={"threads": here.threads + 1})
    later = here.model_copy(update={"commit": "0" * 40, "timestamp": "2030-01-01T00:00:00+00:00"})
    store = RecordStore(path)
    store.append(make_record(here, CELLS[0], 1.0))
    store.append(make_record(there, CELLS[0], 2.0))
    store.append(make_record(there, CELLS[1], 3.0))
    assert store.latest(CELLS, here.key)[CELLS[0]].metrics["latency"].value == 1.0
    assert set(store.latest(CELLS, here.key)) == {CELLS[0]}
    assert set(store.latest(CELLS, there.key)) == set(CELLS[:2])
    assert later.key == here.key
    assert RecordStore(path).newest_environment(CELLS) == there
    assert RecordStore(path).newest_environment(CELLS[2:]) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_json_cannot_hold_are_refused(value):
    for fields in ({"value": value}, {"value": 1, "hi": value}, {"value": 1, "samples": (value,)}):
        with pytest.raises(ValueError, match="finite"):
            Quantity(**fields)


def test_interval_falls_back_to_the_value():
    assert Quantity(value=2.0).interval == (2.0, 2.0)
    assert Quantity(value=2.0, lo=1.0, hi=4.0).interval == (1.0, 4.0)
