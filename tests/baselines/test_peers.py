"""Small networks with published weights: SMFANet, SMFANet+ and HiT-SRF."""

import pytest
import torch

from baselines import create_model
from benchmarks.data.datasets import load_dataset
from benchmarks.quality.evaluation import evaluate
from benchmarks.records.printed import read_printed
from benchmarks.tasks import get_task

NAMES = {"SMFANet": "smfanet", "SMFANet+": "smfanet-plus"}
# PSNR in dB of Set5 by the authors' code with these weights.
SCORES = {
    f"{NAMES[row.method]}-{row.setting[1].removeprefix('scale=')}": row.values["PSNR"]
    for row in read_printed("peers_sr.csv")
    if row.setting[0] == "authors" and row.dataset == "Set5"
}
SCORES["hit-srf-x4"] = 32.554  # print has two decimals
QUICK = ("smfanet-x4", "smfanet-plus-x4")


@pytest.mark.usefixtures("data_root")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in SCORES]
)
def test_scores_of_the_authors_code(published, name):
    model = published(name)
    task = get_task(f"sr-x{model.scale}")
    score = evaluate(model, task, load_dataset("Set5")).metrics["psnr"]
    assert score == pytest.approx(SCORES[name], abs=0.001)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", ["smfanet", "smfanet-plus"])
def test_published_weights_fit(published, name, scale):
    model = published(f"{name}-x{scale}")
    with torch.no_grad():
        assert model(torch.rand(2, 3, 17, 24)).shape == (2, 3, 17 * scale, 24 * scale)


@pytest.mark.parametrize("size", [(2, 3), (64, 64), (70, 10)])
def test_windows_are_filled_by_reflection(size):
    model = create_model("hit-srf-x4", groups=1, windows=(4, 16)).double().eval()
    image = torch.rand(1, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        assert model(image).shape == (1, 3, 4 * size[0], 4 * size[1])


def test_the_bias_of_a_pooled_place_is_the_mean_of_its_pixels():
    """As the paper has it: the bias of all pairs, and the mean over the pixels of each cell."""
    window, pooled, heads = 16, 4, 6
    bias = create_model("hit-srf-x4", groups=1, windows=(4,)).layers[0].blocks[0].correlation.pos
    places = torch.cartesian_prod(torch.arange(window), torch.arange(window)).float()
    distances = (places[:, None] - places[None]).flatten(0, 1)
    pairs = bias.pos_proj(distances)
    for stage in (bias.pos1, bias.pos2, bias.pos3):
        pairs = stage(pairs)
    cell = window // pooled
    cells = pairs.view(window**2, pooled, cell, pooled, cell, heads).mean((2, 4)).flatten(1, 2)
    torch.testing.assert_close(bias(window, pooled), cells.permute(2, 0, 1), rtol=0, atol=1e-6)
