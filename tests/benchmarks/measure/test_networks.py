import pytest
import torch

from benchmarks.measure.networks import (
    create_described,
    make_network_call,
    measure_network_latency,
    measure_network_memory,
)
from benchmarks.records.result import UNIT_INPUT
from tests.benchmarks.making import make_cell

CELL = make_cell("latency", model="swinir-tiny-x2", input="16x24")


def test_forward_is_the_network_on_the_image_of_the_seed():
    first, same = (make_network_call(CELL)() for _ in "ab")
    assert first.shape == (1, 3, 32, 48)
    assert torch.equal(first, same)
    other = make_network_call(CELL.model_copy(update={"seed": 1}))()
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ["swinir-tiny-x2", "kgt-tiny-x2"])
def test_bfloat16_is_close_to_float32_but_not_it(name):
    exact, half = (
        make_network_call(CELL.model_copy(update={"model": name, "dtype": dtype}))()
        for dtype in ("float32", "bfloat16")
    )
    assert (half.float() - exact).abs().max() > 0
    torch.testing.assert_close(half.float(), exact, rtol=0, atol=0.1 * exact.abs().max().item())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["swinir-tiny-x2", "kgt-tiny-x2"])
def test_training_steps_learn_the_batch(name, dtype):
    cell = make_cell("latency", model=name, input="16x16", dtype=dtype, mode="backward")
    step = make_network_call(cell, batch=2)
    losses = [step().item() for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]


def test_memory_of_a_step_holds_the_gradients():
    step = measure_network_memory((CELL.model_copy(update={"mode": "backward"}), 1))
    forward = measure_network_memory((CELL, 1))
    parameters = 4 * sum(t.numel() for t in create_described(CELL.network).parameters())
    assert step.live_tensors.value > forward.live_tensors.value + parameters


def test_published_networks_go_by_their_own_name_too():
    small = ":depths=[2]:embed_dim=60"
    names = (prefix + "hat-x4" + small for prefix in ("", "spandrel:"))
    cells = [make_cell("latency", model=name, input="16x16") for name in names]
    first, second = (make_network_call(cell)() for cell in cells)
    assert first.shape == (1, 3, 64, 64)
    assert torch.equal(first, second)


def test_growth_is_the_time_over_that_of_the_unit_in_the_same_rounds():
    cell = make_cell("latency", model="bicubic", input="256x256")
    growth = measure_network_latency((cell, 0.2)).growth
    assert growth.lo < growth.value < growth.hi
    assert growth.value > 1.5
    small = make_cell("latency", model="bicubic", input=UNIT_INPUT)
    assert measure_network_latency((small, 0.01)).growth is None
