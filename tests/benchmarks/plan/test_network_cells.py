from dataclasses import replace

import pytest

from benchmarks.measure.attention import WrongOutputError
from benchmarks.measure.cost import count_cost
from benchmarks.measure.networks import (
    LatencyJob,
    NetworkJob,
    create_described,
    measure_network_latency,
)
from benchmarks.plan.runner import Run, measure_cell
from benchmarks.plan.specs import Profile
from benchmarks.records.cell import Cell
from benchmarks.records.environment import capture_environment
from benchmarks.records.record import RecordStore

TINY = {"model": "kgt-tiny-x2", "k": 16, "backend": "sdpa", "input": "16x32"}


@pytest.fixture
def measure(tmp_path):
    def measure(cell, **limits):
        profile = Profile(about="", grids=(), budget_s=0.05, timeout_s=120, **limits)
        store = RecordStore(tmp_path / "records.jsonl")
        return measure_cell(cell, Run(profile, store, capture_environment(), "test", tmp_path))

    return measure


def test_the_axes_of_a_cell_are_fields_of_its_network():
    cell = Cell(kind="latency", model="kgt-s-x4:depths=[6]", k=32, window=16, backend="sdpa")
    assert cell.network == "kgt-s-x4:depths=[6]:window=16:k=32:backend=sdpa"
    network = create_described(cell.network)
    assert (network.config.depths, network.config.k, network.config.window) == ([6], 32, 16)
    assert network.stages[0].layers[0].attention.backend == "sdpa"


def test_sizes_and_pixels_of_an_input():
    cell = Cell(kind="latency", model="bicubic", input="540x960")
    assert (cell.size, cell.pixels) == ((540, 960), 518_400)
    assert Cell(kind="latency").pixels == 0


def test_network_is_timed_beside_the_same_network_on_another_backend(measure):
    record = measure(Cell(kind="latency", baseline="torch-mask", **TINY))
    assert record.status == "ok", record.reason
    assert record.checks["baseline"] == "kgt-tiny-x2:k=16:backend=torch-mask"
    assert 0 < record.checks["difference"] < 1e-3
    assert record.metrics["latency"].value > 0
    assert 0 < record.metrics["called"].value < record.metrics["wall"].value


def test_network_is_timed_beside_another_network(measure):
    record = measure(Cell(kind="latency", baseline="swinir-tiny-x2", **TINY))
    assert record.checks["baseline"] == "swinir-tiny-x2"
    assert "difference" not in record.checks


def test_conditions_of_the_task_reach_the_network(measure):
    cell = Cell(kind="latency", task="sr-x3", model="bicubic", baseline="bicubic", input="16x16")
    assert measure(cell).status == "ok"
    wrong = cell.model_copy(update={"model": "kgt-tiny-x2"})
    assert "network of scale 2, the task needs one of scale 3" in measure(wrong).reason


def test_memory_is_that_of_one_call(measure):
    small, large = (
        measure(Cell(kind="memory", **{**TINY, "input": size})).metrics["live_tensors"].value
        for size in ("64x64", "64x128")
    )
    assert 1.8 < large / small < 2.2


def test_memory_that_a_network_lacks_is_recorded_with_the_limit(measure):
    cell = Cell(kind="memory", **{**TINY, "input": "512x512", "backend": "torch-mask"})
    record = measure(cell, memory_limit_mib=256)
    assert record.status == "oom"
    assert record.reason.startswith("needs more than the 256 MiB allowed; ")


def test_cost_is_recorded_with_its_counts(measure):
    record = measure(Cell(kind="cost", **TINY))
    cost = count_cost("kgt-tiny-x2:k=16:backend=sdpa", (16, 32))
    assert record.metrics["flops"].value == cost.total_flops
    assert record.metrics["parameters"].value == cost.parameters
    assert set(record.checks["counts"].values()) == {cost.total_flops}
    shares = [m.value for name, m in record.metrics.items() if name.endswith("_share")]
    assert sum(shares) == pytest.approx(1)


def test_photograph_is_restored_whole_and_in_tiles(measure, monkeypatch):
    monkeypatch.delenv("KGT_DATA", raising=False)
    cell = Cell(kind="restoration", model="swinir-tiny-x2", input="256x256", byte_budget=96 * 2**20)
    record = measure(cell)
    assert record.status == "ok", record.reason
    assert record.metrics["budget"].value == 96 * 2**20
    assert record.metrics["peak"].value < record.metrics["whole_peak"].value
    assert "tiles" in record.checks["plan"]
    assert record.metrics["steps"].value < 64


def test_whole_that_does_not_fit_says_so_beside_the_tiles(measure, monkeypatch):
    monkeypatch.delenv("KGT_DATA", raising=False)
    cell = Cell(kind="restoration", model="swinir-tiny-x2", input="256x256", byte_budget=48 * 2**20)
    record = measure(cell, memory_limit_mib=128)
    assert record.status == "ok", record.reason
    assert "oom" in record.checks["whole_missing"]
    assert "whole_peak" not in record.metrics


JOB = NetworkJob("kgt-tiny-x2:backend=sdpa", (16, 16))


def test_outputs_of_the_same_function_must_agree():
    other = replace(JOB, description=f"{JOB.description}:k=1")
    with pytest.raises(WrongOutputError, match="differs from that of kgt-tiny-x2"):
        measure_network_latency(
            LatencyJob(JOB, replace(other, description=JOB.description + ":k=1"), True, 0.05)
        )
