import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from benchmarks.measure import memory
from benchmarks.measure.memory import measure_peak, read_status_bytes
from kgt.tiles.memory import LiveTensorBytes

MIB = 2**20
needs_clear_refs = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc/self/clear_refs"
)


@pytest.fixture(autouse=True)
def _pinned():
    """As where memory is measured, whatever tests of this process did to the allocator before."""
    memory.pin_allocator(reuse=False)


def count(fn):
    """Peak and remaining bytes of a call whose result is kept."""
    with LiveTensorBytes() as counter:
        result = fn()
        live = counter.live
    del result
    return counter.peak, live


@pytest.fixture(scope="module")
def read_apart():
    """Returns readings of works in a process of its own, as where memory is measured.

    In a large process the kernel may take back, meanwhile, pages that nobody uses.
    """

    def run(works):
        program = f"""
import json
from dataclasses import asdict
import torch
from benchmarks.measure import memory

memory.pin_allocator(reuse=False)
memory.measure_peak(lambda: torch.ones(25))  # the first call loads what torch needs
readings = [memory.measure_peak(work)[0] for work in {works}]
print(json.dumps([asdict(reading) for reading in readings]))
"""
        root = Path(memory.__file__).parents[2]
        command = [sys.executable, "-c", program]
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
        return [memory.PeakMemory(**reading) for reading in json.loads(run.stdout)]

    return run


@needs_clear_refs
def test_phases_of_one_process_read_apart(read_apart):
    sizes = [300, 100, 300, 100]
    readings = read_apart(f"[lambda m=m: torch.ones(m * 2**20 // 4) for m in {sizes}]")
    assert [reading.peak_bytes / MIB for reading in readings] == pytest.approx(sizes, abs=15)
    assert [reading.live_tensor_bytes / MIB for reading in readings] == sizes
    assert all(reading.peak_missing is None for reading in readings)


@needs_clear_refs
def test_resident_peak_sees_memory_that_is_freed_within_the_call(read_apart):
    freed, kept = (f"torch.ones({size} * 2**20 // 4)" for size in (200, 50))
    (reading,) = read_apart(f"[lambda: ({freed}.sum(), {kept})]")
    assert reading.peak_bytes / MIB == pytest.approx(200, abs=15)


@needs_clear_refs
def test_heap_reuse_does_not_hide_small_blocks(read_apart):
    readings = read_apart("[lambda: [torch.ones(2**18) for _ in range(64)]] * 3")
    assert [reading.peak_bytes / MIB for reading in readings] == pytest.approx([64] * 3, abs=15)


@needs_clear_refs
def test_status_fields_are_bytes():
    assert read_status_bytes("VmHWM") >= read_status_bytes("VmRSS") > 10 * MIB
    with pytest.raises(KeyError):
        read_status_bytes("VmNothing")


def test_missing_proc_is_said_and_never_filled_in(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_PROC", tmp_path / "absent")
    reading, out = measure_peak(lambda: torch.ones(25))
    assert torch.equal(out, torch.ones(25))
    assert reading.peak_bytes is None
    assert "clear_refs" in reading.peak_missing
    assert reading.live_tensor_bytes == 100


@needs_clear_refs
def test_resident_set_is_measured_in_the_first_of_two_calls():
    modes = []
    measure_peak(
        lambda: modes.append(len(torch.utils._python_dispatch._get_current_dispatch_mode_stack()))
    )
    assert modes == [0, 1]


def chain():
    x = torch.zeros(1000)
    y = x + 1
    del x
    return y * 2


def grow():
    x = torch.empty(0)
    return x.resize_(100)


def write_out():
    x = torch.empty(0)
    return torch.add(torch.ones(100), torch.ones(100), out=x)


@pytest.mark.parametrize(
    ("fn", "peak", "live"),
    [
        (lambda: torch.ones(1000), 4000, 4000),
        (lambda: torch.ones(1000, dtype=torch.bfloat16), 2000, 2000),
        (lambda: torch.ones(1000, dtype=torch.bool), 1000, 1000),
        (lambda: torch.tensor([1.0, 2.0, 3.0]), 12, 12),
        (chain, 8000, 4000),
        (lambda: torch.ones(6, 4).t()[1:].view(-1, 2, 3).expand(5, 3, 2, 3), 96, 96),
        (lambda: torch.ones(100).add_(1).mul_(2), 400, 400),
        (lambda: torch.ones(64).split(16), 256, 256),
        (grow, 400, 400),
        (write_out, 1200, 400),
        (lambda: torch.ones(8, 16) @ torch.ones(16, 4), 512 + 256 + 128, 128),
        # The graph of the output keeps the layer's weight and bias and the input.
        (lambda: torch.nn.Linear(10, 10)(torch.ones(2, 10)), 600, 400 + 40 + 80 + 80),
        (lambda: torch.topk(torch.arange(100.0), 10), 400 + 40 + 80, 40 + 80),
        (lambda: [torch.ones(100) * 2 for _ in range(50)][-1], 50 * 400 + 400, 400),
    ],
)
def test_live_bytes_match_hand_counts(fn, peak, live):
    assert count(fn) == (peak, live)


def test_existing_tensors_do_not_count():
    x = torch.ones(1000)
    assert count(lambda: x.view(10, 100).t().detach()) == (0, 0)
    assert count(lambda: x.add_(1)) == (0, 0)
    assert count(lambda: x + 1) == (4000, 4000)


def test_graph_keeps_saved_tensors_alive():
    x = torch.ones(1000, requires_grad=True)

    def forward():
        return x.exp().exp().exp()  # each exp saves its result

    assert count(forward) == (12_000, 12_000)
    with torch.no_grad():
        assert count(forward) == (8000, 4000)


def test_backward_counts_and_checkpointing_saves():
    x = torch.ones(1000, requires_grad=True)

    def block(t):
        return t.exp().exp().exp().exp()

    def train(run):
        x.grad = None
        run().sum().backward()

    plain, _ = count(lambda: train(lambda: block(x)))
    saving, _ = count(
        lambda: train(lambda: checkpoint(lambda t: block(block(t)), x, use_reentrant=False))
    )
    full, _ = count(lambda: train(lambda: block(block(x))))
    assert plain < saving < full + 4000
    assert count(lambda: train(lambda: block(x)))[0] == plain


def test_masked_attention_costs_its_score_matrix():
    q, k, v = torch.randn(3, 2, 64, 8).unbind(0)
    scores = 2 * 64 * 64 * 4
    peak, _ = count(lambda: (q @ k.transpose(1, 2)).softmax(-1) @ v)
    assert peak == 2 * scores  # scores and weights; the output comes after the scores are freed


def test_repeats_are_equal_and_leave_nothing_behind():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 3))
    x = torch.randn(1, 3, 32, 32)

    def work():
        F.mse_loss(net(x), torch.zeros(1, 3, 28, 28)).backward()
        net.zero_grad(set_to_none=True)

    peaks = {count(work) for _ in range(3)}
    assert len(peaks) == 1
    assert peaks.pop()[1] == 0
