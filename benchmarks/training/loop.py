"""The training loop: seeded, checkpointed, and resumed to the same bits."""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import save_model
from torch import Tensor, nn

import baselines
import kgt
from benchmarks.models import create_any_model
from benchmarks.quality import get_task
from benchmarks.quality.images import combine_digests, digest_pixels
from benchmarks.training.data import PatchSampler
from benchmarks.training.recipes import Recipe
from benchmarks.training.start import start_as_nearest

OnStep = Callable[[int, float], None]

_LOG_WINDOW = 10
_PACKAGES = tuple(Path(str(package.__file__)).parent for package in (kgt, baselines))
_SOURCES = (*_PACKAGES, Path(__file__).parent)
_SUFFIXES = frozenset({".py", ".cpp", ".h"})

logger = logging.getLogger(__name__)


class LossPoint(NamedTuple):
    """One entry of the loss curve.

    Attributes:
        step: steps done.
        loss: mean loss of the steps since the previous entry.
        lr: learning rate of the last of them.
        k: keys per token drawn for the last of them, None where the network keeps its own or has
            none.
    """

    step: int
    loss: float
    lr: float
    k: int | None


@dataclass(frozen=True)
class TrainingResult:
    """A trained network and how it came about.

    Attributes:
        model: the network in evaluation mode, with the k it was created with.
        weights: safetensors file of its weights.
        weights_digest: digest of names and values of the weights.
        steps: optimizer steps.
        losses: loss curve, means over 10 steps.
        wall_s: seconds spent in steps, of all runs that led here.
        data_digest: digest of the training images.
    """

    model: nn.Module
    weights: Path
    weights_digest: str
    steps: int
    losses: list[LossPoint]
    wall_s: float
    data_digest: str


@dataclass
class _Run:
    """What a checkpoint holds: the trained state, and what it is valid for."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    identity: dict[str, str]
    step: int = 0
    losses: list[LossPoint] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)
    wall_s: float = 0.0

    def save(self, path: Path) -> None:
        state = {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "losses": [tuple(point) for point in self.losses],
            "recent": self.recent,
            "wall_s": self.wall_s,
        }
        _write_atomically(path, lambda temporary: torch.save(state, temporary))

    def resume(self, path: Path) -> None:
        state = _read_checkpoint(path)
        for key in ("model", "recipe"):
            if state["identity"][key] != self.identity[key]:
                raise ValueError(
                    f"{path} is of {key} {state['identity'][key]}, not {self.identity[key]}; "
                    "discard it with --fresh (fresh=True), or write to another folder"
                )
        stale = [key for key in self.identity if state["identity"][key] != self.identity[key]]
        if stale:
            logger.warning("%s is of other %s; training starts over", path, " and ".join(stale))
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.losses = [LossPoint(*point) for point in state["losses"]]
        self.recent = state["recent"]
        self.wall_s = state["wall_s"]


def checkpoint_path(model_name: str, recipe_name: str, out_dir: Path) -> Path:
    """Where the checkpoint of a training lies; its weights lie beside it as .safetensors."""
    return out_dir / f"{model_name}--{recipe_name}.ckpt"


def train(
    model_name: str,
    recipe: Recipe,
    *,
    out_dir: Path,
    on_step: OnStep | None = None,
    fresh: bool = False,
) -> TrainingResult:
    """Train a named network, or go on from the checkpoint of an interrupted training.

    The result is a function of model, recipe, data, code and, through the rounding of sums, of
    the machine and torch's threads; interruptions do not show in it. A finished training is not
    repeated. Where code or data changed since the checkpoint, the training starts over.

    Args:
        model_name: a name of `list_any_models()`.
        recipe: what to train on and how.
        out_dir: folder of checkpoints and weights, made if need be.
        on_step: called with the steps done and the loss, before the checkpoint of that step.
        fresh: discard an existing checkpoint.

    Raises:
        ValueError: an unknown name, a network that does not fit the task, or a checkpoint that is
            unreadable or of another recipe.
        RuntimeError: the training diverged.
    """
    checkpoint = checkpoint_path(model_name, recipe.name, out_dir)
    model = _create_model(model_name, recipe)
    sampler = PatchSampler(recipe)
    identity = {
        "model": model_name,
        "recipe": recipe.digest,
        "code": _digest_sources(),
        "data": sampler.digest,
    }
    run = _Run(model, _create_optimizer(model, recipe), identity)
    out_dir.mkdir(parents=True, exist_ok=True)
    if fresh:
        checkpoint.unlink(missing_ok=True)
    elif checkpoint.exists():
        run.resume(checkpoint)
    if run.step < recipe.steps:
        _run_steps(run, recipe, sampler, checkpoint, on_step)
    if isinstance(model, kgt.KGT):
        model.set_k(model.config.k)
    weights = checkpoint.with_suffix(".safetensors")
    _write_weights(run, recipe, weights)
    return TrainingResult(
        model=model.eval(),
        weights=weights,
        weights_digest=_digest_weights(model),
        steps=run.step,
        losses=run.losses,
        wall_s=run.wall_s,
        data_digest=sampler.digest,
    )


def _run_steps(
    run: _Run, recipe: Recipe, sampler: PatchSampler, checkpoint: Path, on_step: OnStep | None
) -> None:
    run.model.train()
    earlier_s, start = run.wall_s, time.perf_counter()
    saved_at = start
    while run.step < recipe.steps:
        lr, k = recipe.learning_rate(run.step), None
        if recipe.k is not None and isinstance(run.model, kgt.KGT):
            k = _draw_k(recipe.k, recipe.seed, run.step)
            run.model.set_k(k)
        for group in run.optimizer.param_groups:
            group["lr"] = lr
        loss = _measure_loss(run, *sampler.batch(run.step), checkpoint)
        loss.backward()
        if recipe.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(run.model.parameters(), recipe.clip_grad_norm)
        run.optimizer.step()
        run.optimizer.zero_grad()
        run.step += 1
        run.recent.append(loss.item())
        if on_step is not None:
            on_step(run.step, run.recent[-1])
        if run.step % _LOG_WINDOW == 0 or run.step == recipe.steps:
            run.losses.append(LossPoint(run.step, statistics.fmean(run.recent), lr, k))
            run.recent.clear()
        now = time.perf_counter()
        if now - saved_at >= recipe.checkpoint_every_s or run.step == recipe.steps:
            run.wall_s = earlier_s + now - start
            run.save(checkpoint)
            saved_at = now


def _measure_loss(run: _Run, inputs: Tensor, targets: Tensor, checkpoint: Path) -> Tensor:
    """Mean absolute error of a batch, checked to be finite."""
    try:
        loss = F.l1_loss(run.model(inputs), targets)
    except ValueError as error:
        if run.step == 0:
            raise
        # All batches have one shape, so a network that took the first one can only refuse its
        # own features: a key-graph is not built on NaN.
        raise _diverged(run.step, str(error), checkpoint) from error
    if not torch.isfinite(loss):
        raise _diverged(run.step, f"loss is {loss.item()}", checkpoint)
    return loss


def _diverged(step: int, symptom: str, checkpoint: Path) -> RuntimeError:
    last = f"last checkpoint: {checkpoint}" if checkpoint.exists() else "no checkpoint yet"
    return RuntimeError(
        f"training diverged at step {step}: {symptom} ({last}); lower lr or clip_grad_norm"
    )


def _create_model(name: str, recipe: Recipe) -> nn.Module:
    # Training itself draws nothing from torch's global generator, which is left as it was found.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = create_any_model(name)
    task = get_task(recipe.task)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"{name} has no parameters to train; choose another model")
    if (model.scale, model.in_channels) != (task.scale, 3):
        raise ValueError(
            f"recipe {recipe.name} needs a model of scale {task.scale} and 3 channels, got "
            f"{name} of scale {model.scale} and {model.in_channels}"
        )
    if recipe.start == "nearest":
        start_as_nearest(model)
    return model


def _create_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        model.parameters(),
        lr=recipe.lr,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def _draw_k(choices: int | tuple[int, ...], seed: int, step: int) -> int:
    return kgt.KSampler((choices,) if isinstance(choices, int) else choices, seed).draw(step)


def _read_checkpoint(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{path} is damaged or no checkpoint; discard it with --fresh (fresh=True)"
        ) from error


def _write_weights(run: _Run, recipe: Recipe, path: Path) -> None:
    metadata = {
        "model": run.identity["model"],
        "recipe": f"{recipe.name}@{recipe.version}",
        "recipe_digest": run.identity["recipe"],
        "steps": str(run.step),
        "data_digest": run.identity["data"],
        "code_digest": run.identity["code"],
        "torch": torch.__version__,
    }
    _write_atomically(path, lambda temporary: save_model(run.model, str(temporary), metadata))


def _write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file beside `path`, then put it in its place in one step."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _digest_weights(model: nn.Module) -> str:
    tensors = sorted(model.state_dict().items())
    return combine_digests(f"{name}:{digest_pixels(tensor.numpy())}" for name, tensor in tensors)


def _digest_sources() -> str:
    """Short hash of the code that networks and training consist of."""
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted(folder.rglob("*")):
            if path.suffix in _SUFFIXES:
                digest.update(f"{path.relative_to(folder.parent)}\n".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
