import pytest
import torch

from benchmarks.measure import problems
from benchmarks.measure.attention import measure_latency_cells, measure_memory_cell
from tests.benchmarks.making import make_cell

CELL = make_cell(
    "latency",
    n=64,
    k=8,
    windows=1,
    heads=2,
    head_dim=4,
    graph="photo",
    dtype="float32",
    mode="forward",
    backend="torch-mask",
    baseline="dense",
)


@pytest.fixture
def deriving(monkeypatch):
    """Lets torch-mask keep a mask of 64 x 64 bytes with the graph, and counts how often it does."""
    attention, derivations = problems.key_graph_attention, []

    def derive(graph):
        derivations.append(graph)
        return torch.zeros(64, 64, dtype=torch.bool)

    def attend(q, k, v, graph, bias, backend, byte_budget=None):
        if backend == "torch-mask":
            graph.derive(derive)
        return attention(q, k, v, graph, bias, backend)

    monkeypatch.setattr(problems, "key_graph_attention", attend)
    return derivations


def test_record_says_how_many_layers_a_call_stood_for(deriving):
    cell = CELL.model_copy(update={"layers": 3})
    assert measure_latency_cells(([cell], 0.01))[0].stage_calls == 3
    plain = cell.model_copy(update={"backend": "sdpa"})
    assert measure_latency_cells(([plain], 0.01))[0].stage_calls == 1


def test_record_of_auto_names_what_ran():
    cell = CELL.model_copy(update={"backend": "auto"})
    result = measure_latency_cells(([cell], 0.01))[0]
    assert result.backend == problems.resolve_backend(cell, "auto") != "auto"


def test_every_call_of_a_memory_cell_derives_anew(deriving):
    measured = measure_memory_cell(CELL.model_copy(update={"kind": "memory"}))
    # Warm-up, resident set, tensors.
    assert len(deriving) == 3
    assert measured.live_tensors.value >= 64 * 64


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cells_are_measured_on_a_gpu():
    cell = CELL.model_copy(update={"device": "cuda", "backend": "triton", "mode": "backward"})
    timed = measure_latency_cells(([cell], 0.01))[0]
    assert timed.latency.value > 0
    held = measure_memory_cell(CELL.model_copy(update={"kind": "memory", "device": "cuda"}))
    # Scores of 2 heads of 64 x 64 and their softmax, in blocks of 512 bytes.
    assert held.peak.value >= 2 * 2 * 64 * 64 * 4
    assert held.peak.value % 512 == 0
