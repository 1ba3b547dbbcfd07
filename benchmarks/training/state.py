"""What a training has reached: all that a checkpoint holds, and what it is valid for."""

from __future__ import annotations

import io
import logging
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import torch
from safetensors.torch import save
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from benchmarks.data.images import combine_digests, digest_pixels
from benchmarks.training.checkpoints import (
    Checkpoint,
    LossPoint,
    ValidationPoint,
    check_like,
    read_moments,
)
from benchmarks.training.recipes import Recipe
from kgt.contract import Restorer, as_module
from kgt.errors import Failure
from kgt.files import write_atomically

_LOG_WINDOW = 10
# What a checkpoint holds as it is.
_PLAIN = ("step", "times", "recent", "wall_s", "losses", "validations")
# A window whose loss is this many times the least one of before has left the valley it was in.
_DIVERGED = 10.0

Stale = Literal["refuse", "resume", "restart"]

logger = logging.getLogger(__name__)


class TrainingDiverged(Failure):
    """Loss, gradient or weights are not finite any more, or the loss has grown tenfold."""


@dataclass
class TrainingState:
    """The trained network and everything that its further training depends on.

    Random numbers are functions of seed and step, so the number of steps is their whole state but
    for torch's global generator, which is kept, too, for networks that draw in training.

    Attributes:
        model: the network.
        optimizer: its optimizer.
        identity: what a checkpoint is valid for, see `resume`.
        ema: moving average of the weights, if there is one.
        step: steps done.
        losses: the loss curve.
        times: `wall_s` at each point of it.
        validations: scores of the held-out images.
        recent: losses since the last point of the curve.
        wall_s: seconds spent in steps, of all runs that led here.
    """

    model: Restorer
    optimizer: torch.optim.Optimizer
    identity: dict[str, str]
    ema: AveragedModel | None = None
    step: int = 0
    losses: list[LossPoint] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    validations: list[ValidationPoint] = field(default_factory=list)
    recent: list[float] = field(default_factory=list)
    wall_s: float = 0.0

    @property
    def kept_model(self) -> Restorer:
        """The network to validate and to keep: the moving average if there is one."""
        return self.model if self.ema is None else cast(Restorer, self.ema.module)

    def note_loss(self, loss: float, lr: float, k: int | None, last: bool) -> None:
        """Enter the loss of the step just done.

        Raises:
            TrainingDiverged: the loss is far above what it was.
        """
        self.recent.append(loss)
        if self.step % _LOG_WINDOW and not last:
            return
        mean = statistics.fmean(self.recent)
        least = min((point.loss for point in self.losses), default=mean)
        if mean > _DIVERGED * least:
            raise TrainingDiverged(
                f"the loss of the last {len(self.recent)} steps is {mean:.4g}, once it was "
                f"{least:.4g}"
            )
        self.losses.append(LossPoint(self.step, mean, lr, k))
        self.times.append(self.wall_s)
        self.recent.clear()

    def save(self, path: Path) -> None:
        """Write a checkpoint; what is not finite is never written over what is.

        Raises:
            TrainingDiverged: a weight is not finite.
            OSError: as `write_atomically`.
        """
        for name, tensor in self.model.state_dict().items():
            if not torch.isfinite(tensor).all():
                raise TrainingDiverged(f"{name} is not finite")
        content = {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "ema": None if self.ema is None else self.ema.state_dict(),
            "random": torch.random.get_rng_state(),
            **{name: getattr(self, name) for name in _PLAIN},
            "losses": [tuple(point) for point in self.losses],
            "validations": [tuple(point) for point in self.validations],
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        write_atomically(path, buffer.getvalue())

    def resume(self, content: Checkpoint, path: Path, stale: Stale) -> None:
        """Go on from a checkpoint.

        Args:
            content: as from `read_checkpoint`.
            path: where it was read.
            stale: what to do where components or data are others by now. Weights that were
                resumed across a change name both, joined by "+".

        Raises:
            ValueError: the checkpoint is of another network or recipe, does not fit the network, or
                is stale and to be refused.
        """
        before = content.identity
        for key in ("model", "recipe"):
            if before[key] != self.identity[key]:
                raise ValueError(
                    f"{path} is of {key} {before[key]}, not {self.identity[key]}; discard it with "
                    "--fresh (fresh=True), or write to another folder"
                )
        # Checkpoints of before components had versions name none.
        before = {"components": "none", **before}
        changed = [key for key in ("components", "data") if before[key] != self.identity[key]]
        if changed and stale == "refuse":
            raise ValueError(
                f"{path} is of other {' and '.join(changed)}, after {content.step} steps; go on "
                'all the same with --stale resume (stale="resume"), or start over with --stale '
                'restart (stale="restart")'
            )
        if changed and stale == "restart":
            logger.warning("%s is of other %s; training starts over", path, " and ".join(changed))
            return
        for key in changed:
            self.identity[key] = f"{before[key]}+{self.identity[key]}"
        try:
            self._load(content)
        except ValueError as error:
            raise ValueError(
                f"{path} does not fit the network: {error}; discard it with --fresh (fresh=True)"
            ) from error
        for name in _PLAIN:
            setattr(self, name, getattr(content, name))

    def _load(self, content: Checkpoint) -> None:
        """Take over all tensors.

        Raises:
            ValueError: they are of other names, shapes or types, or no state of a generator.
        """
        check_like(content.model, self.model.state_dict(), "network")
        if self.ema is not None:
            check_like(content.ema or {}, self.ema.state_dict(), "moving average")
            self.ema.load_state_dict(content.ema or {})
        own = self.optimizer.state_dict()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        moments = read_moments(content.optimizer, parameters)
        try:
            torch.random.set_rng_state(content.random)
        except (RuntimeError, TypeError) as error:
            raise ValueError("random: no state of torch's generator") from error
        self.model.load_state_dict(content.model)
        self.optimizer.load_state_dict({**own, "state": moments})


def make_average(model: Restorer, recipe: Recipe) -> AveragedModel | None:
    """The moving average that a recipe asks for, which begins with the first step's weights."""
    if recipe.ema is None:
        return None
    return AveragedModel(as_module(model), multi_avg_fn=get_ema_multi_avg_fn(recipe.ema))


def write_weights(model: Restorer, metadata: dict[str, str], path: Path) -> None:
    """Write the weights of a network as safetensors, with where they come from.

    Raises:
        OSError: as `write_atomically`.
    """
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_atomically(path, save(tensors, metadata))


def digest_weights(model: Restorer) -> str:
    """Digest of names and values of the weights."""
    tensors = sorted(model.state_dict().items())
    return combine_digests(
        f"{name}:{digest_pixels(tensor.cpu().numpy())}" for name, tensor in tensors
    )
