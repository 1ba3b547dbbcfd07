"""Which patches a step sees."""

import itertools

import numpy as np
import pytest
import torch

from benchmarks.training.data import PatchSampler
from tests.benchmarks.training.mini import MINI, change


def test_batches_depend_on_seed_and_step_alone():
    recipe = change(batch=3)
    first, second = PatchSampler(recipe), PatchSampler(change(batch=3, steps=99, lr=1))
    forward = [first[step] for step in range(4)]
    backward = [second[step] for step in (3, 2, 1, 0)][::-1]
    for (lr, hr), (lr_again, hr_again) in zip(forward, backward, strict=True):
        assert torch.equal(lr, lr_again)
        assert torch.equal(hr, hr_again)
    inputs = [lr for lr, _ in forward]
    inputs.append(PatchSampler(change(batch=3, seed=1))[0][0])
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(inputs, 2))


def test_batches_are_aligned_and_take_all_symmetries(toy):
    codes = np.arange(240, dtype=np.uint8).reshape(16, 15)
    recipe = change(**toy(codes=codes.repeat(2, 0).repeat(2, 1)), batch=64, patch=4)
    lr, hr = PatchSampler(recipe)[0]
    assert lr.shape == (64, 3, 4, 4)
    assert hr.shape == (64, 3, 8, 8)
    assert lr.dtype == hr.dtype == torch.float32
    assert torch.equal(hr, lr.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert torch.equal(lr, lr[:, :1].expand_as(lr))
    values = (lr[:, 0] * 255).round().int()
    steps_right = {(int(v[0, 1] - v[0, 0]), int(v[1, 0] - v[0, 0])) for v in values}
    assert steps_right == {
        *itertools.product((1, -1), (15, -15)),
        *itertools.product((15, -15), (1, -1)),
    }


def test_every_position_can_be_drawn(toy):
    codes = np.arange(36, dtype=np.uint8).reshape(6, 6)
    recipe = change(**toy(codes=codes.repeat(2, 0).repeat(2, 1)), batch=500, patch=4)
    corners = (PatchSampler(recipe)[0][0][:, 0] * 255).round().amin((1, 2)).int()
    assert set(corners.tolist()) == {0, 1, 2, 6, 7, 8, 12, 13, 14}


def test_images_are_weighted_by_their_pixels(toy):
    dark, bright = np.zeros((40, 40), np.uint8), np.full((40, 120, 3), 255, np.uint8)
    recipe = change(**toy(dark=dark, bright=bright), batch=2000, patch=2)
    assert PatchSampler(recipe)[0][0].mean().item() == pytest.approx(0.75, abs=0.04)


def test_small_images_are_left_out(toy):
    small, large = np.zeros((20, 60), np.uint8), np.full((31, 33), 255, np.uint8)
    fields = toy(small=small, large=large)
    assert PatchSampler(change(**fields, patch=15, batch=20))[0][0].min() == 1
    with pytest.raises(ValueError, match=r"toy is as large as a patch of 32 pixels"):
        PatchSampler(change(**fields, patch=16))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"images": ["coins", "lena"]}, "no image lena in .*valid: brick, .*text"),
        ({"images": ["astronaut"]}, "no image astronaut"),
        ({"datasets": ["Set5"]}, "no 'train' split"),
    ],
)
def test_data_that_may_not_be_used_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        PatchSampler(change(**fields))


def test_data_digest_covers_the_images_in_use():
    digest = PatchSampler(MINI).digest
    assert PatchSampler(change(seed=5, batch=2)).digest == digest
    assert PatchSampler(change(images=["coins", "moon"])).digest != digest
    assert PatchSampler(change(tasks=["sr-x4"])).digest != digest
