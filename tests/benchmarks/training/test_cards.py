from dataclasses import replace

import pytest
import torch

from baselines.catalog import create_any_model
from benchmarks.data.datasets import load_dataset
from benchmarks.data.manifest import MANIFEST
from benchmarks.models import load_weights
from benchmarks.quality import evaluate
from benchmarks.records.environment import capture_environment
from benchmarks.tasks import TASKS, get_task
from benchmarks.training import cards
from benchmarks.training.loop import train
from benchmarks.training.recipes import Recipe

RECIPE = Recipe(
    name="mini",
    version=3,
    tasks=["sr-x2"],
    datasets=["embedded"],
    images=["coins", "moon"],
    held_out=1,
    steps=2,
    batch=1,
    patch=16,
    lr=1e-3,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "package"), [("kgt-tiny-x2", "kgt.zoo"), ("swinir-tiny-x2", "baselines.registry")]
)
def test_a_shipped_network_comes_with_its_card(name, package, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{package}.WEIGHTS", tmp_path / "weights")
    monkeypatch.setitem(TASKS, "sr-x2", replace(TASKS["sr-x2"], test_sets=("embedded",)))
    result = train(name, RECIPE, out_dir=tmp_path)
    scored = []
    card = cards.ship(name, RECIPE, result, scored.append)
    assert scored == ["sr-x2 on embedded"]
    assert {path.name for path in card.parent.iterdir()} == {
        f"{name}.{suffix}" for suffix in ("safetensors", "md", "csv", "svg")
    }
    model = create_any_model(name).eval()
    load_weights(model, card.with_suffix(".safetensors"))
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(model(x), result.model(x))
    text = card.read_text()
    psnr = evaluate(model, get_task("sr-x2"), load_dataset("embedded")).metrics["psnr"]
    assert f"| {psnr:.2f} dB | bicubic, " in text
    assert f"python -m benchmarks.train --model {name} --recipe mini --ship" in text
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in text
    environment = capture_environment()
    threads = f"{environment.threads} thread{'s' if environment.threads > 1 else ''}"
    assert f"in 0 minutes\non {threads} of {environment.cpu}. " in text
    assert "1 images of embedded/train; 1 others validated" in text
    assert "scikit-image (BSD-3-Clause" in text
    rows = card.with_suffix(".csv").read_text().splitlines()
    assert rows[0] == "step,seconds,loss,lr,k,psnr sr-x2"
    assert f"| {' | '.join(rows[-1].split(','))} |" in text


def test_a_card_tells_of_every_process():
    environment = {"threads": 1, "cpu": "Some CPU"}
    described = cards._describe_machine({"processes": 2, "environment": environment})
    assert described == "2 processes with 1 thread of Some CPU each"


def test_only_plain_names_are_shipped(tmp_path):
    result = train("kgt-tiny-x2:k=4", RECIPE, out_dir=tmp_path)
    with pytest.raises(ValueError, match="'kgt-tiny-x2:k=4' is no plain name"):
        cards.ship("kgt-tiny-x2:k=4", RECIPE, result)


def test_every_task_is_scored_on_known_sets():
    for task in TASKS.values():
        assert task.test_sets
        assert set(task.test_sets) <= set(MANIFEST)
