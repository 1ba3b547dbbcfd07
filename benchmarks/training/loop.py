"""The training loop: seeded, checkpointed, resumed to the same bits, in one process or in many."""

from __future__ import annotations

import logging
import math
import re
import shlex
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

import kgt
from benchmarks.data.survey import find_fault
from benchmarks.models import components_of
from benchmarks.records.components import describe_versions, versions_of
from benchmarks.records.environment import capture_environment
from benchmarks.training.checkpoints import LossPoint, ValidationPoint, read_checkpoint
from benchmarks.training.data import (
    Batch,
    PatchSampler,
    iterate_batches,
    open_datasets,
    split_images,
)
from benchmarks.training.gate import describe_leaks
from benchmarks.training.journal import (
    CURVE,
    DESCRIPTION,
    LOG,
    describe_run,
    plot_curve,
    render_log,
)
from benchmarks.training.losses import make_loss
from benchmarks.training.processes import defer_signals, make_fabric
from benchmarks.training.recipes import Recipe
from benchmarks.training.start import create_network, create_optimizer
from benchmarks.training.state import (
    Stale,
    TrainingDiverged,
    TrainingState,
    digest_weights,
    make_average,
    write_weights,
)
from benchmarks.training.validation import measure_psnr
from kgt.contract import Restorer, WholeImageRestorer, as_module
from kgt.errors import Failure
from kgt.files import make_folder, write_atomically

if TYPE_CHECKING:
    from lightning_fabric import Fabric

logger = logging.getLogger(__name__)

CHECKPOINT, WEIGHTS = "checkpoint.pt", "weights.safetensors"


class TrainingInterrupted(Failure):
    """The process was asked to end (SIGTERM, Ctrl-C); the checkpoint is of the last step."""


@dataclass(frozen=True)
class Listener:
    """Functions that are called as a training proceeds, in its first process.

    Attributes:
        on_step: takes the steps done and the loss, before the checkpoint of that step.
        on_validation: takes the scores of the held-out images.
        on_image: takes the set and name of an image, of a test set or of the recipe, before it is
            looked at; all of that comes before the first step.
    """

    on_step: Callable[[int, float], None] = lambda step, loss: None
    on_validation: Callable[[ValidationPoint], None] = lambda point: None
    on_image: Callable[[str], None] = lambda name: None


@dataclass(frozen=True)
class TrainingResult:
    """A trained network and how it came about.

    Attributes:
        model: the network in evaluation mode, with the k it was created with.
        weights: safetensors file of its weights.
        weights_digest: digest of names and values of the weights.
        steps: optimizer steps.
        losses: loss curve, means over 10 steps.
        validations: scores of the held-out images.
        wall_s: seconds spent in steps, of all runs that led here.
        data_digest: digest of the training images.
        metadata: those of the file of weights.
    """

    model: Restorer
    weights: Path
    weights_digest: str
    steps: int
    losses: list[LossPoint]
    validations: list[ValidationPoint]
    wall_s: float
    data_digest: str
    metadata: dict[str, str]


def run_folder(model: str, recipe: Recipe, out_dir: Path) -> Path:
    """Folder of a training: its checkpoint, weights, log, curve and description."""
    plain = (re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-") for name in (model, recipe.name))
    return out_dir / f"{'--'.join(plain)}--seed{recipe.seed}"


def components_of_training(model: str) -> dict[str, int]:
    """What trained weights depend on besides the recipe and the data, with versions."""
    return components_of(model) | versions_of("data", "training")


def train(
    model_name: str,
    recipe: Recipe,
    *,
    out_dir: Path,
    listener: Listener = Listener(),
    fresh: bool = False,
    stale: Stale = "refuse",
    workers: int = 0,
    device: str = "auto",
) -> TrainingResult:
    """Train a network, or go on from the checkpoint of an interrupted training.

    The result is a function of model, recipe, data, code and, through the rounding of sums, of
    the machine, torch's threads and the number of processes; interruptions do not show in it. A
    finished training is not repeated. Under torchrun, processes share each batch and the
    validation.

    Args:
        model_name: a name of `list_any_models()`, or NAME:field=value:field=value.
        recipe: what to train on and how.
        out_dir: folder of run folders (see `run_folder`), made if need be.
        listener: called as the training proceeds.
        fresh: discard an existing checkpoint.
        stale: what to do with a checkpoint of other components or data: "refuse" it,
            "resume" it all the same, or "restart".
        workers: processes that make batches ahead of time; the batches are the same.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.

    Raises:
        ValueError: an unknown name, a network that does not fit the task, images that show images
            of test sets, or a checkpoint that is unreadable, of another recipe, or stale.
        TrainingDiverged: loss or weights are not finite any more; the checkpoint before is kept.
        TrainingInterrupted: on SIGTERM or Ctrl-C, with a checkpoint of the last step.
        OSError: a file could not be written; the one before is kept.
    """
    fabric = make_fabric(recipe.precision, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        run = _Run(model_name, recipe, run_folder(model_name, recipe, out_dir), fabric)
        run.open(fresh, stale)
        if run.state.step < recipe.steps:
            run.refuse_leaks(listener)
            with defer_signals() as asked:
                run.go_on(listener, workers, asked)
        return run.close()


class _Step(NamedTuple):
    """Results of one optimizer step; the same in all processes."""

    loss: float
    lr: float
    k: int | None
    ending: bool


class _Run:
    def __init__(self, model_name: str, recipe: Recipe, folder: Path, fabric: Fabric) -> None:
        self.recipe, self.folder, self.fabric = recipe, folder, fabric
        self.checkpoint = folder / CHECKPOINT
        model = create_network(model_name, recipe)
        # What must see whole images does so before patches are cut, and the rest is trained.
        body, prepare = (
            (model.body, model.prepare) if isinstance(model, WholeImageRestorer) else (model, None)
        )
        self.sampler = PatchSampler(recipe, fabric.global_rank, fabric.world_size, prepare)
        self.datasets = open_datasets(recipe)
        self.held_out = split_images(recipe)[1]
        self.loss = make_loss(recipe.loss, recipe.perceptual)
        identity = {
            "model": model_name,
            "recipe": recipe.digest,
            "components": describe_versions(components_of_training(model_name)),
            "data": self.sampler.digest,
        }
        optimizer = create_optimizer(model, recipe)
        self.wrapped, _ = fabric.setup(as_module(body), optimizer)
        self.state = TrainingState(model, optimizer, identity, make_average(model, recipe))

    def open(self, fresh: bool, stale: Stale) -> None:
        """Make the folder, and go on from what lies there.

        Raises:
            ValueError: as `TrainingState.resume`, or the last step is done and has no loss.
        """
        content = None
        if self.fabric.is_global_zero:
            make_folder(self.folder)
            if fresh:
                self.checkpoint.unlink(missing_ok=True)
            elif self.checkpoint.exists():
                content = read_checkpoint(self.checkpoint)
        content = self.fabric.broadcast(content)
        if content is not None:
            self.state.resume(content, self.checkpoint, stale)
        state, steps = self.state, self.recipe.steps
        if state.step >= steps and (not state.losses or state.losses[-1].step != steps):
            raise ValueError(
                f"{self.checkpoint} is of step {state.step:,} of {steps:,}, and its loss curve "
                "does not end there; discard it with --fresh (fresh=True)"
            )

    def refuse_leaks(self, listener: Listener) -> None:
        """Refuse images that show test images; the first process looks for them."""
        leaks = ""
        if self.fabric.is_global_zero:
            leaks = describe_leaks(self.recipe, listener.on_image)
        leaks = self.fabric.broadcast(leaks)
        if leaks:
            raise ValueError(leaks)

    def go_on(self, listener: Listener, workers: int, asked: threading.Event) -> None:
        """Do the steps that are left."""
        state, recipe = self.state, self.recipe
        if self.fabric.is_global_zero:
            environment = capture_environment().model_dump(mode="json")
            environment["command"] = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
            description = describe_run(state, recipe, environment, self.fabric.world_size)
            write_atomically(self.folder / DESCRIPTION, description)
            self._warn()
        state.model.train()
        saved_at = time.perf_counter()
        for batch in iterate_batches(self.sampler, range(state.step, recipe.steps), workers):
            begin = time.perf_counter()
            done = self._step(batch, asked)
            state.wall_s += time.perf_counter() - begin
            last = state.step == recipe.steps
            try:
                state.note_loss(done.loss, done.lr, done.k, last)
            except TrainingDiverged as error:
                raise self._diverged(str(error)) from error
            if self.fabric.is_global_zero:
                listener.on_step(state.step, done.loss)
            if self.held_out and (last or state.step % recipe.validate_every == 0):
                self._validate(listener)
            due = time.perf_counter() - saved_at >= recipe.checkpoint_every_s
            if due or last or done.ending:
                self._save()
                saved_at = time.perf_counter()
            if done.ending and not last:
                raise TrainingInterrupted(
                    f"asked to end after step {state.step} of {recipe.steps}; {self.checkpoint} "
                    "is kept, and the same command without --fresh resumes"
                )

    def close(self) -> TrainingResult:
        """Write the weights."""
        state = self.state
        model = state.kept_model.eval()
        if isinstance(model, kgt.KGT):
            model.set_k(model.config.k)
        weights, metadata = self.folder / WEIGHTS, self._describe_weights()
        if self.fabric.is_global_zero:
            write_weights(model, metadata, weights)
        return TrainingResult(
            model=model,
            weights=weights,
            weights_digest=digest_weights(model),
            steps=state.step,
            losses=state.losses,
            validations=state.validations,
            wall_s=state.wall_s,
            data_digest=self.sampler.digest,
            metadata=metadata,
        )

    def _warn(self) -> None:
        """Say what is not as the recipe lets one think."""
        for fault in filter(None, map(find_fault, self.datasets)):
            logger.warning("warning: %s", fault)
        if small := self.sampler.too_small:
            logger.warning(
                "warning: %d images are too small for a patch and left out, such as %s",
                *(len(small), ", ".join(small[:3])),
            )

    def _step(self, batch: Batch, asked: threading.Event) -> _Step:
        state, recipe = self.state, self.recipe
        lr, k = recipe.learning_rate(state.step), None
        if recipe.k is not None and isinstance(state.model, kgt.KGT):
            choices = (recipe.k,) if isinstance(recipe.k, int) else recipe.k
            k = kgt.KSampler(choices, recipe.seed).draw(state.step)
            state.model.set_k(k)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        loss = self._measure_loss(batch)
        # What decides is the same in all processes, so that none is left waiting for another.
        own = loss.new_tensor([loss.item(), asked.is_set()], dtype=torch.float64)
        mean: Any = self.fabric.all_reduce(own, reduce_op="mean")
        value, ending = mean.tolist()
        if not math.isfinite(value):
            raise self._diverged(f"loss is {value}")
        self.fabric.backward(loss)
        if recipe.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.wrapped.parameters(), recipe.clip_grad_norm)
        state.optimizer.step()
        state.optimizer.zero_grad()
        if state.ema is not None:
            state.ema.update_parameters(as_module(state.model))
        state.step += 1
        return _Step(value, lr, k, ending > 0)

    def _measure_loss(self, batch: Batch) -> Tensor:
        like = next(self.state.model.parameters())
        inputs, targets = (part.to(like.device, like.dtype) for part in batch)
        try:
            return self.loss(self.wrapped(inputs), targets)
        except ValueError as error:
            if self.state.step == 0:
                raise
            # All batches have one shape, so a network that took the first one can only refuse its
            # own features: a key-graph is not built on NaN.
            raise self._diverged(str(error)) from error

    def _validate(self, listener: Listener) -> None:
        state, model = self.state, self.state.kept_model
        if isinstance(model, kgt.KGT):
            model.set_k(model.config.k)
        scores = measure_psnr(
            model,
            self.recipe,
            self.held_out,
            self.fabric.global_rank,
            self.fabric.world_size,
        )
        state.validations.append(ValidationPoint(state.step, scores))
        if self.fabric.is_global_zero:
            listener.on_validation(state.validations[-1])

    def _save(self) -> None:
        if not self.fabric.is_global_zero:
            return
        try:
            self.state.save(self.checkpoint)
        except TrainingDiverged as error:
            raise self._diverged(str(error)) from error
        write_atomically(self.folder / LOG, render_log(self.state, self.recipe))
        write_atomically(self.folder / CURVE, plot_curve(self.state, self.recipe))

    def _diverged(self, symptom: str) -> TrainingDiverged:
        kept = self.checkpoint.exists()
        last = f"last checkpoint: {self.checkpoint}" if kept else "no checkpoint yet"
        return TrainingDiverged(
            f"training diverged at step {self.state.step}: {symptom} ({last}); lower lr or "
            "clip_grad_norm"
        )

    def _describe_weights(self) -> dict[str, str]:
        state, recipe = self.state, self.recipe
        return {
            "model": state.identity["model"],
            "tasks": " ".join(recipe.tasks),
            "recipe": f"{recipe.name}@{recipe.version}",
            "recipe_digest": recipe.digest,
            "steps": str(state.step),
            "data": " ".join(dataset.label for dataset in self.datasets),
            "data_digest": state.identity["data"],
            "components": state.identity["components"],
            "torch": torch.__version__,
        }
