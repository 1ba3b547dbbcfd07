"""Checkpoints of trainings and files of weights: each is taken, or refused in words."""

import io
from functools import cache
from pathlib import Path

import torch
from hypothesis import strategies as st
from safetensors.torch import save

import kgt
from baselines.loading import load_checkpoint
from benchmarks.training.checkpoints import read_checkpoint
from benchmarks.training.state import TrainingState, make_average
from kgt.checkpoints import load_weights
from tests.benchmarks.training.mini import MINI, change
from tests.fuzzing.harness import documented
from tests.fuzzing.mutation import ODD_VALUES, changed_bytes, changed_values, kept

SUFFIX, CASES = ".pt", 30
_MODEL = "kgt-tiny-x2"
_FIELDS = {"embed_dim": 4, "heads": 1, "depths": (1,), "window": 4, "k": 4}
_RECIPE = change(ema=0.9)


def _make_state():
    torch.manual_seed(0)
    network = kgt.create_model(_MODEL, **_FIELDS)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network(torch.rand(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    identity = {"model": _MODEL, "recipe": MINI.digest, "components": "c", "data": "d"}
    return TrainingState(network, optimizer, identity, make_average(network, _RECIPE))


@cache
def _seed():
    state, path = _make_state(), Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp")
    state.step = 1
    state.note_loss(0.5, 1e-3, 4, last=True)
    path = path / f"kgt-fuzzing-{id(state)}.pt"
    state.save(path)
    try:
        return path.read_bytes()
    finally:
        path.unlink()


def _load(data):
    return torch.load(io.BytesIO(data), weights_only=True)


def _save(content):
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


_ODD_TENSORS = st.sampled_from(
    [
        torch.zeros(()),
        torch.full((3,), float("nan")),
        torch.zeros(0),
        torch.zeros(4, 4, dtype=torch.int64),
        torch.zeros(2, dtype=torch.complex64),
        torch.zeros(1).expand(2**40),
        torch.zeros(3, 3).to_sparse(),
    ]
)
_WEIGHTS = dict(_load(_seed())["model"])
_CONTENTS = [_load(_seed()), _WEIGHTS, {"params": _WEIGHTS}, {"state_dict": _WEIGHTS}]
_SAFETENSORS = save(_WEIGHTS, {"model": _MODEL})

INPUTS = (
    changed_values(_CONTENTS, odd=ODD_VALUES | _ODD_TENSORS).map(_save)
    | changed_bytes([_seed(), _SAFETENSORS, *kept("checkpoints")])
    | changed_bytes([_SAFETENSORS])
)


@cache
def _network():
    return kgt.create_model(_MODEL, **_FIELDS)


def attempt(data, folder):
    plain, named = folder / "x.pt", folder / "x.safetensors"
    plain.write_bytes(data)
    named.write_bytes(data)
    with documented():
        _resume(plain)
    for path in (plain, named):
        with documented():
            load_weights(_network(), path)
        with documented():
            load_checkpoint(path)


def _resume(path):
    state = _make_state()
    state.resume(read_checkpoint(path), path, "refuse")
    state.note_loss(0.5, 1e-3, None, last=False)
    state.save(path)
    assert read_checkpoint(path).step == state.step
