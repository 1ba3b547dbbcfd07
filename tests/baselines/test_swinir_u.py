import pytest
import torch

import baselines
import kgt
from baselines.swinir import RSTB
from kgt.tasks import SAME_SIZE


@pytest.mark.parametrize("suffix", [own.suffix for own in SAME_SIZE])
def test_each_task_has_one_as_large_as_its_kgt(suffix):
    ours, theirs = (
        sum(parameter.numel() for parameter in network.parameters())
        for network in (
            kgt.create_model(f"kgt-tiny-{suffix}"),
            baselines.create_model(f"swinir-u-tiny-{suffix}"),
        )
    )
    assert abs(theirs / ours - 1) < 0.03


def test_it_is_the_kgt_with_other_stages():
    network = kgt.create_model("kgt-tiny-denoise-color", level_windows=(8, 8))
    other = baselines.create_model("swinir-u-tiny-denoise-color").eval()
    for name, group in other.named_modules():
        if isinstance(group, RSTB):
            network.set_submodule(name, group)
    # What is no stage has the same names and shapes, and does the same.
    network.load_state_dict(other.state_dict())
    image = torch.rand(1, 3, 40, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(image), other(image), rtol=0, atol=0)


def test_windows_exchange_tokens_within_a_group():
    network = baselines.create_model("swinir-u-tiny-denoise-color").eval()
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    network(image)[..., 64, 64].sum().backward()
    reached = image.grad[0].abs().sum(0) > 0
    assert reached.sum() > 48 * 48  # one window of the latent level sees 32 x 32 pixels


def test_it_has_no_number_of_keys():
    with pytest.raises(ValueError, match="unknown field of swinir-u-tiny-deblur 'k'"):
        baselines.create_model("swinir-u-tiny-deblur", k=8)
