import hashlib
import json
import math
from pathlib import Path

import pytest

from benchmarks.records.environment import capture_environment
from benchmarks.records.record import Record, RecordStore
from benchmarks.records.result import QualityResult, Quantity
from tests.benchmarks import making

CELLS = [making.make_cell("latency", k=k) for k in (1, 2, 3)]
MEMORY = making.make_cell("memory").model_dump_json(exclude_none=True)
RECORDS = Path(__file__).parents[3] / "results" / "records"


@pytest.fixture(scope="module")
def here():
    return capture_environment()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records" / "table.jsonl"


def make_record(environment, cell=CELLS[0], value=1.0, **fields):
    time = Quantity(value=value, unit="ms", statistic="median", lo=0.5, samples=(1.0, 0.1 + 0.2))
    return making.make_record(cell, environment=environment, latency=time, **fields)


def test_records_come_back_as_they_were(path, here):
    cells = [*CELLS[:2], making.make_cell("quality")]
    records = [
        make_record(here, CELLS[0], 1 / 3, why="ä | \n").model_copy(update={"code": "abc"}),
        making.make_record(CELLS[1], "oom", "wanted 3 MiB", here),
        making.make_record(
            cells[2],
            environment=here,
            psnr=Quantity(value=30.0),
            failed={"b": "too small"},
            per_image={"a": {"psnr": "exact", "ssim": 0.5}},
        ),
    ]
    store = RecordStore(path)
    assert store.latest(cells, here.key) == {}
    assert store.newest_environment(cells) is None
    for record in records:
        store.append(record)
    read = RecordStore(path)
    assert read.problems == []
    expected = dict(zip(cells, records, strict=True))
    assert read.latest(cells, here.key) == store.latest(cells, here.key) == expected
    assert read.newest_environment(cells) == here
    assert set(read.latest(cells[:1], here.key)) == {cells[0]}


@pytest.mark.parametrize(
    ("junk", "reason"),
    [
        (b'{"cell":{"kind":"mem', "JSON"),
        (b"[1, 2]", "object"),
        (b"{}", "cell: Field required"),
        (b'{"cell":{"kind":"memory","n":"many"}}', "cell.n: Input should be a valid integer"),
        (b'{"cell":7}', "cell: a cell is an object whose kind is latency, memory"),
        (b'{"cell":{"kind":"speed"}}', "cell: a cell is an object whose kind is latency, memory"),
        (f'{{"cell":{MEMORY},"status":"oom","surprise":1}}'.encode(), "surprise"),
        (f'{{"cell":{MEMORY},"metrics":{{"peek":{{"value":1}}}}}}'.encode(), "live_tensors"),
        (f'{{"cell":{MEMORY},"metrics":[1]}}'.encode(), "metrics, checks and per_image"),
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
        assert view.latest(CELLS, here.key)[CELLS[0]].result.latency.value == 2.0


def test_scores_of_another_environment_stand_in_until_there_are_own_ones(path, here):
    there = here.model_copy(update={"threads": here.threads + 1})
    scored, timed = making.make_cell("quality"), CELLS[0]
    own, other = (
        making.make_record(scored, environment=at, psnr=Quantity(value=psnr))
        for at, psnr in ((here, 30.0), (there, 31.0))
    )
    store = RecordStore(path)
    store.append(other)
    store.append(make_record(there, timed))
    store.append(making.make_record(making.make_cell("quality", seed=1), "failed", "why", there))
    assert store.latest([scored, timed], here.key) == {scored: other}
    store.append(own)
    store.append(other)
    assert store.latest([scored, timed], here.key) == {scored: own}


def test_records_come_in_the_order_of_the_cells(path, here):
    store = RecordStore(path)
    for cell in reversed(CELLS):
        store.append(make_record(here, cell, 1.0))
    assert list(store.latest(CELLS, here.key)) == list(CELLS)


def test_environments_are_kept_apart(path, here):
    there = here.model_copy(update={"threads": here.threads + 1})
    later = here.model_copy(update={"commit": "0" * 40, "timestamp": "2030-01-01T00:00:00+00:00"})
    store = RecordStore(path)
    store.append(make_record(here, CELLS[0], 1.0))
    store.append(make_record(there, CELLS[0], 2.0))
    store.append(make_record(there, CELLS[1], 3.0))
    assert store.latest(CELLS, here.key)[CELLS[0]].result.latency.value == 1.0
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


@pytest.mark.parametrize("part", ["metrics", "checks"])
def test_a_misspelt_name_of_a_result_is_refused(part):
    record = make_record(None).model_dump(mode="json")
    record[part]["latencies"] = record["metrics"]["latency"] if part == "metrics" else 1
    with pytest.raises(ValueError, match="latencies"):
        Record.model_validate(record)


def test_scores_are_quantities_by_column():
    cell = making.make_cell("quality")
    gain, score = Quantity(value=0.5, unit="dB"), Quantity(value=30.0, unit="dB")
    record = making.make_record(cell, psnr_y=score, gain=gain, wall=Quantity(value=1.0))
    line = json.loads(record.model_dump_json())
    assert list(line["metrics"]) == ["psnr_y", "gain", "wall"]
    result = Record.model_validate(line).result
    assert isinstance(result, QualityResult)
    assert (result.scores, result.gain) == ({"psnr_y": score}, gain)


# Number of lines of a file, and a digest of the hashes and ids of their cells.
DIGESTS = {
    "study-attention-axes-cpu": (100, "99331f2a97de"),
    "study-attention-axes-gpu": (21, "f493f0c6bd18"),
    "study-attention-crossover-cpu": (300, "e02d686a54a9"),
    "study-attention-crossover-gpu": (28, "1820c7f7eeb1"),
    "study-method-cpu": (44, "d987ee156491"),
    "study-network-keys-cpu": (204, "21a1e43838ec"),
    "study-pareto-cpu": (82, "452b1a7b56fd"),
    "study-restoration-cpu": (15, "8e81ac0416f0"),
    "study-scaling-cpu": (270, "310343c1d571"),
    "study-small-cpu": (227, "c35f8a5af4ec"),
    "table-semanir-3-cpu": (158, "a1a289b436c3"),
    "table1-cpu": (119, "99af094aea4b"),
    "table1-smoke": (116, "fa2163dc5e78"),
    "table2-cpu": (96, "b46a2897f85c"),
    "table2-smoke": (62, "d692db969664"),
    "table3-cpu": (2410, "b9645dcc27bb"),
    "table3-gpu": (180, "31e5ae1566e7"),
    "table3-smoke": (140, "b89ce7c47585"),
    "table4-smoke": (51, "8d92d932e06d"),
    "table5-cpu": (268, "f2f223836845"),
    "table5-smoke": (126, "a6f7de95a23b"),
    "table6-smoke": (69, "c4d9cd6fce03"),
    "table7-cpu": (46, "1889e6752b2f"),
    "table7-smoke": (40, "a7ccf44a0406"),
    "table8-cpu": (248, "7c49e6d0d16f"),
    "table8-smoke": (192, "923be96de840"),
}


@pytest.mark.parametrize("name", DIGESTS)
def test_old_records_keep_their_content_hashes_and_ids(name):
    count, digest = DIGESTS[name]
    sha = hashlib.sha256()
    for line in (RECORDS / f"{name}.jsonl").read_bytes().splitlines()[:count]:
        record = Record.model_validate_json(line)
        sha.update(f"{record.cell.hash} {record.cell.id}\n".encode())
        given, kept = json.loads(line), json.loads(record.model_dump_json())
        for old, new in (("peak_rss", "peak"), ("rss_over_closed_form", "peak_over_closed_form")):
            if old in given.get("metrics", {}):
                given["metrics"][new] = given["metrics"].pop(old)
        assert kept == given
    assert sha.hexdigest()[:12] == digest
