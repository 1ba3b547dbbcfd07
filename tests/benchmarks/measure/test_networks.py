from dataclasses import replace

import pytest
import torch

from benchmarks.measure.networks import (
    NetworkJob,
    create_described,
    make_network_call,
    measure_network_memory,
)

JOB = NetworkJob("swinir-tiny-x2", (16, 24))


def test_forward_is_the_network_on_the_image_of_the_seed():
    first, same = (make_network_call(JOB)() for _ in "ab")
    assert first.shape == (1, 3, 32, 48)
    assert torch.equal(first, same)
    other = make_network_call(replace(JOB, seed=1))()
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ["swinir-tiny-x2", "kgt-tiny-x2"])
def test_bfloat16_is_close_to_float32_but_not_it(name):
    exact, half = (
        make_network_call(NetworkJob(name, (16, 24), d))() for d in ("float32", "bfloat16")
    )
    assert (half.float() - exact).abs().max() > 0
    torch.testing.assert_close(half.float(), exact, rtol=0, atol=0.1 * exact.abs().max().item())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["swinir-tiny-x2", "kgt-tiny-x2"])
def test_training_steps_learn_the_batch(name, dtype):
    step = make_network_call(NetworkJob(name, (16, 16), dtype, "train-step", batch=2))
    losses = [step().item() for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]


def test_memory_of_a_step_holds_the_gradients():
    step = measure_network_memory(replace(JOB, mode="train-step"))
    forward = measure_network_memory(JOB)
    parameters = 4 * sum(t.numel() for t in create_described(JOB.description).parameters())
    assert step.live_tensor_bytes > forward.live_tensor_bytes + parameters


def test_published_networks_go_by_their_own_name_too():
    small = ":depths=[2]:embed_dim=60"
    jobs = [NetworkJob(prefix + "hat-x4" + small, (16, 16)) for prefix in ("", "spandrel:")]
    first, second = (make_network_call(job)() for job in jobs)
    assert first.shape == (1, 3, 64, 64)
    assert torch.equal(first, second)
