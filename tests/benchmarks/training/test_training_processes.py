"""Trainings that are asked to end, or shared by two processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from benchmarks.training.loop import Listener, TrainingInterrupted, run_folder, train
from benchmarks.training.processes import defer_signals
from benchmarks.training.recipes import Recipe

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
MODEL = "swinir-tiny-x2"
FIELDS = {
    "name": "mini",
    "version": 1,
    "tasks": ["sr-x2"],
    "datasets": ["embedded"],
    "images": ["coins", "moon", "page"],
    "held_out": 1,
    "steps": 25,
    "batch": 2,
    "patch": 16,
    "lr": 1e-3,
    "ema": 0.9,
    "clip_grad_norm": 1.0,
    "checkpoint_every_s": 0,
}
RECIPE = Recipe(**FIELDS)
# Notes each step's loss in losses.json when it is done.
SCRIPT = """
import json, sys
from pathlib import Path
import torch
from benchmarks.training.loop import Listener, train
from benchmarks.training.recipes import load_recipe
torch.set_num_threads(1)
out = Path(sys.argv[1])
losses = []
listener = Listener(lambda step, loss: losses.append(loss))
result = train(sys.argv[2], load_recipe(str(out / "mini.yaml")), out_dir=out, listener=listener)
if losses:
    content = {"losses": losses, "validation": result.validations[-1].psnr}
    (out / "losses.json").write_text(json.dumps(content))
"""


def write_recipe(folder, **fields):
    folder.mkdir(exist_ok=True)
    (folder / "mini.yaml").write_text(yaml.safe_dump({**FIELDS, **fields}))
    return Recipe(**{**FIELDS, **fields})


def start(folder, *launcher, model=MODEL):
    (folder / "run.py").write_text(SCRIPT)
    command = [*(launcher or (sys.executable,)), str(folder / "run.py"), str(folder), model]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment)


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, "the training ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_sigterm_leaves_a_checkpoint_of_the_step(tmp_path):
    recipe = write_recipe(tmp_path, checkpoint_every_s=1e6)
    steps = []

    def ask(step, loss):
        steps.append(step)
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingInterrupted, match=r"after step 4 of 25; .*without --fresh resumes"):
        train(MODEL, recipe, out_dir=tmp_path, listener=Listener(ask))
    assert signal.getsignal(signal.SIGTERM) is before
    assert torch.load(run_folder(MODEL, RECIPE, tmp_path) / "checkpoint.pt")["step"] == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_processes_ends_the_training_in_order(number, tmp_path):
    write_recipe(tmp_path, steps=100_000)
    command = [sys.executable, "-m", "benchmarks.train", "--model", MODEL, "--workers", "1"]
    command += ["--recipe", str(tmp_path / "mini.yaml"), "--out", str(tmp_path)]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    checkpoint = run_folder(MODEL, RECIPE, tmp_path) / "checkpoint.pt"
    wait_for(checkpoint, process)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    step = torch.load(checkpoint)["step"]
    assert f"asked to end after step {step} of 100000" in err


def test_a_second_interrupt_does_not_wait():
    with defer_signals() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("model", [f"{MODEL}:depths=[2]", "kgt-tiny-x2:depths=[2]:window=8:k=32"])
def test_two_processes_are_one_with_the_same_batch(model, tmp_path):
    fields = {
        "precision": "float64",
        "steps": 20,
        "batch": 4,
        "images": ["brick", "coins", "page", "text"],
        "held_out": 3,
        "checkpoint_every_s": 100,
    }
    results = []
    for folder, launcher in (
        (tmp_path / "one", ()),
        (tmp_path / "two", (*TORCHRUN, "--nproc-per-node", "2")),
    ):
        write_recipe(folder, **fields)
        assert start(folder, *launcher, model=model).wait(240) == 0
        results.append(json.loads((folder / "losses.json").read_text()))
    one, two = results
    assert len(one["losses"]) == 20
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-9)
    assert two["validation"] == pytest.approx(one["validation"], rel=1e-6)


TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone")
