"""Networks of both packages under autocast, torch.func, copies and distributed training."""

import copy
import pickle

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

from tests.small_networks import NETWORKS, build


@pytest.fixture(params=NETWORKS)
def network(request):
    return build(request.param)


@pytest.fixture
def image():
    return torch.rand(2, 3, 19, 24)


def gradients(call, network, x):
    """Of a loss, by the name of the parameter."""
    network.zero_grad()
    y = call(x)
    F.mse_loss(y.float(), torch.ones_like(y, dtype=torch.float32)).backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


def test_autocast_stays_close_and_every_gradient_is_finite(network, image):
    exact = network(image)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(image)
        found = gradients(network, network, image)
    assert (rounded - exact).abs().max() < 0.02 * exact.abs().max()
    assert all(grad.isfinite().all() and grad.dtype == torch.float32 for grad in found.values())


def test_the_format_of_the_memory_changes_nothing(network, image):
    exact = network(image)
    other = copy.deepcopy(network).to(memory_format=torch.channels_last)
    found = other(image.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-5)


def test_torch_func_gives_the_gradients_of_autograd(network, image):
    def loss(parameters):
        y = torch.func.functional_call(network, parameters, (image,))
        return F.mse_loss(y, torch.ones_like(y))

    found = torch.func.grad(loss)(dict(network.named_parameters()))
    torch.testing.assert_close(found, gradients(network, network, image), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_a_copy_is_equal_and_apart(network, image, duplicate):
    with torch.inference_mode():
        exact = network(image)
        other = duplicate(network)
        assert other(image).equal(exact)
    for parameter in other.parameters():
        parameter.data.zero_()
    with torch.no_grad():
        assert network(image).equal(exact)
        assert not other(image).equal(exact)


def train_on_one_image(rank, folder):
    """One of two processes, each of which has one image of the batch."""
    torch.manual_seed(0)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    for name in NETWORKS:
        network = build(name)
        images = torch.rand(2, 3, 19, 24)
        distributed = DistributedDataParallel(network)
        # A parameter without a gradient is found by the second step, which waits for it.
        for _ in range(2):
            shared = gradients(distributed, distributed.module, images[rank : rank + 1])
        shared = {key: grad.clone() for key, grad in shared.items()}
        torch.testing.assert_close(
            shared, gradients(network, network, images), rtol=1e-4, atol=1e-6
        )
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_share_the_gradients_of_their_images(tmp_path):
    torch.multiprocessing.spawn(train_on_one_image, (tmp_path,), nprocs=2)
