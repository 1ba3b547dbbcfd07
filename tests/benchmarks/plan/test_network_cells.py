import pytest

from benchmarks.measure import networks
from benchmarks.measure.attention import WrongOutputError
from benchmarks.measure.cost import count_cost
from benchmarks.models import create_described
from benchmarks.plan.runner import Run, measure_cell
from benchmarks.plan.specs import Profile
from benchmarks.records.environment import capture_environment
from benchmarks.records.record import RecordStore
from tests.benchmarks.making import make_cell

TINY = {"model": "kgt-tiny-x2", "k": 16, "backend": "sdpa", "input": "16x32"}


@pytest.fixture
def measure(tmp_path):
    def measure(cell, **limits):
        profile = Profile(about="", grids=(), budget_s=0.05, timeout_s=120, **limits)
        store = RecordStore(tmp_path / "records.jsonl")
        return measure_cell(cell, Run(profile, store, capture_environment(), "test", tmp_path))

    return measure


def test_the_axes_of_a_cell_are_fields_of_its_network():
    cell = make_cell("latency", model="kgt-s-x4:depths=[6]", k=32, window=16, backend="sdpa")
    assert cell.network == "kgt-s-x4:depths=[6]:window=16:k=32:backend=sdpa"
    network = create_described(cell.network)
    assert (network.config.depths, network.config.k, network.config.window) == ((6,), 32, 16)
    assert network.stages[0].layers[0].attention.backend == "sdpa"


def test_sizes_and_pixels_of_an_input():
    cell = make_cell("latency", model="bicubic", input="540x960")
    assert (cell.size, cell.pixels) == ((540, 960), 518_400)


def test_network_is_timed_beside_the_same_network_on_another_backend(measure):
    record = measure(make_cell("latency", baseline="torch-mask", **TINY))
    assert record.status == "ok", record.reason
    assert record.result.baseline == "kgt-tiny-x2:k=16:backend=torch-mask"
    assert 0 < record.result.difference < 1e-3
    assert record.result.latency.value > 0
    assert 0 < record.result.called.value < record.result.wall.value


def test_network_is_timed_beside_another_network(measure):
    record = measure(make_cell("latency", baseline="swinir-tiny-x2", **TINY))
    assert record.result.baseline == "swinir-tiny-x2"
    assert record.result.difference is None


def test_conditions_of_the_task_reach_the_network(measure):
    cell = make_cell("latency", task="sr-x3", model="bicubic", baseline="bicubic", input="16x16")
    assert measure(cell).status == "ok"
    wrong = cell.model_copy(update={"model": "kgt-tiny-x2"})
    assert "network of scale 2, the task needs one of scale 3" in measure(wrong).reason


def test_memory_is_that_of_one_call(measure):
    small, large = (
        measure(make_cell("memory", **{**TINY, "input": size})).result.live_tensors.value
        for size in ("64x64", "64x128")
    )
    assert 1.8 < large / small < 2.2


def test_memory_that_a_network_lacks_is_recorded_with_the_limit(measure):
    cell = make_cell("memory", **{**TINY, "input": "512x512", "backend": "torch-mask"})
    record = measure(cell, memory_limit_mib=256)
    assert record.status == "oom"
    assert record.reason.startswith("needs more than the 256 MiB allowed; ")


def test_cost_is_recorded_with_its_counts(measure):
    record = measure(make_cell("cost", **TINY))
    cost = count_cost("kgt-tiny-x2:k=16:backend=sdpa", (16, 32))
    assert record.result.flops.value == cost.total_flops
    assert record.result.parameters.value == cost.parameters
    assert set(record.result.counts.values()) == {cost.total_flops}
    shares = [m.value for name, m in record.result.quantities().items() if name.endswith("_share")]
    assert sum(shares) == pytest.approx(1)


def test_photograph_is_restored_whole_and_in_tiles(measure, monkeypatch):
    monkeypatch.delenv("KGT_DATA", raising=False)
    cell = make_cell("restoration", model="swinir-tiny-x2", input="256x256", byte_budget=96 * 2**20)
    record = measure(cell)
    assert record.status == "ok", record.reason
    assert record.result.budget.value == 96 * 2**20
    assert record.result.peak.value < record.result.whole_peak.value
    assert "tiles" in record.result.plan
    assert record.result.steps.value < 64


def test_whole_that_does_not_fit_says_so_beside_the_tiles(measure, monkeypatch):
    monkeypatch.delenv("KGT_DATA", raising=False)
    cell = make_cell("restoration", model="swinir-tiny-x2", input="256x256", byte_budget=48 * 2**20)
    record = measure(cell, memory_limit_mib=128)
    assert record.status == "ok", record.reason
    assert "oom" in record.result.whole_missing
    assert record.result.whole_peak is None


def test_outputs_of_the_same_function_must_agree(monkeypatch):
    def create(description, conditions):
        return create_described(f"{description}:k={1 if 'sdpa' in description else 16}", conditions)

    monkeypatch.setattr(networks, "create_described", create)
    fields = {"model": "kgt-tiny-x2", "backend": "sdpa", "baseline": "torch-mask"}
    cell = make_cell("latency", input="16x16", **fields)
    with pytest.raises(WrongOutputError, match="differs from that of kgt-tiny-x2"):
        networks.measure_network_latency((cell, 0.05))
