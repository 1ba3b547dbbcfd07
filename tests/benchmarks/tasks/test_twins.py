"""The optimum of twin patches is what an estimator that knows the twins attains."""

import math

import numpy as np
import pytest
import torch

from baselines.catalog import create_any_model
from benchmarks.data.datasets import load_dataset
from benchmarks.data.twins import TESTS
from benchmarks.quality import evaluate
from benchmarks.tasks import get_task
from benchmarks.tasks.metrics import psnr, psnr_of_patches
from benchmarks.tasks.twins import find_gain
from kgt.contract import UNKNOWN

TASK = get_task("twins-s15")
NAMES = sorted(TESTS)


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KGT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


class Oracle(torch.nn.Module):
    """Knows which patches are twins, and estimates a texture from one look or from two.

    The posterior mean of a normal texture: looks weigh 1 / 15^2 each, the prior mean 1 / 40^2.
    """

    scale, in_channels, size_multiple, task, provenance = 1, 3, 1, "twins", UNKNOWN

    def __init__(self, dataset, looks):
        super().__init__()
        self.targets = [torch.from_numpy(item.image).permute(2, 0, 1) for item in dataset]
        self.looks = looks

    def forward(self, x):
        target = min(self.targets, key=lambda own: (own / 255 - x[0]).square().mean())
        cells = {}
        for top in range(0, 128, 8):
            for left in range(0, 128, 8):
                cut = (..., slice(top, top + 8), slice(left, left + 8))
                block = top // 64, left // 64
                cells.setdefault((block, target[cut].numpy().tobytes()), []).append(cut)
        y = torch.full_like(x, 128 / 255)
        for twins in cells.values():
            if len(twins) > 2:  # the ground
                continue
            for cut in twins:
                seen = twins if self.looks == 2 else [cut]
                total = sum(x[one] for one in seen) / 15**2 + 128 / 255 / 40**2
                y[cut] = total / (len(seen) / 15**2 + 1 / 40**2)
        return y


# By hand, with r = (15 / 40)^2 = 9/64: 10 log10(2 + r), 10 log10(1 + r), and a quarter of the
# patches without a twin.
WITH, WITHOUT = 3.30541, 0.57143
CROWDED = -10 * math.log10(0.75 * 64 / 137 + 0.25 * 64 / 73)


@pytest.mark.parametrize("name", NAMES)
def test_the_best_gain_is_that_of_the_posterior_mean(name):
    best = CROWDED if name == "twins-d48-n62" else WITH
    assert find_gain(TESTS[name], with_twin=True) == pytest.approx(best, abs=1e-4)
    assert find_gain(TESTS[name], with_twin=False) == pytest.approx(WITHOUT, abs=1e-4)


@pytest.mark.parametrize("name", ["twins-d8-n0", "twins-d32-n14", "twins-d48-n62"])
@pytest.mark.parametrize("looks", [1, 2])
def test_an_oracle_attains_it(name, looks):
    dataset = load_dataset(name)
    own = evaluate(Oracle(dataset, looks), TASK, dataset, strict=True)
    noisy = evaluate(create_any_model("identity"), TASK, dataset, strict=True)
    assert own.protocol == "twins-patches@1"
    # 18 images of at least 8 patches: the mean gain has an error of about 0.04 dB.
    gain = own.metrics["psnr"] - noisy.metrics["psnr"]
    assert gain == pytest.approx(find_gain(TESTS[name], with_twin=looks == 2), abs=0.12)
    assert noisy.metrics["psnr"] == pytest.approx(20 * math.log10(255 / 15), abs=0.1)


def test_noise_depends_on_the_image_and_on_nothing_else():
    first, second = (
        TASK.make_pair(dataset, item)
        for dataset in [load_dataset("twins-d8-n0")]
        for item in list(dataset)[:2]
    )
    again = TASK.make_pair(load_dataset("twins-d8-n0"), next(iter(load_dataset("twins-d8-n0"))))
    assert np.array_equal(first.input, again.input)
    noises = [pair.input - pair.target.astype(np.float32) / 255 for pair in (first, second)]
    assert abs(np.corrcoef(noises[0].ravel(), noises[1].ravel())[0, 1]) < 0.02
    assert noises[0].std() * 255 == pytest.approx(15, rel=0.02)


def test_only_blocks_with_texture_are_scored():
    rng = np.random.default_rng(0)
    target = np.full((24, 20, 3), 128.0)
    target[8:16, :8] = rng.integers(0, 256, (8, 8, 3))
    prediction = target + rng.normal(0, 50, target.shape)
    prediction[8:16, :8] = target[8:16, :8] + rng.normal(0, 5, (8, 8, 3))
    expected = psnr(prediction[8:16, :8], target[8:16, :8])
    assert psnr_of_patches(prediction, target) == pytest.approx(expected, abs=1e-12)
    one_channel = np.full((8, 8, 3), 7.0)
    one_channel[2, 2, 1] = 8
    assert psnr_of_patches(one_channel, one_channel) == math.inf
    with pytest.raises(ValueError, match="empty"):
        psnr_of_patches(np.zeros((16, 16)), np.full((16, 16), 9))
