"""Checkpoints of trainings: what they hold, checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import (
    ConfigDict,
    FiniteFloat,
    NonNegativeFloat,
    NonNegativeInt,
    TypeAdapter,
    ValidationError,
)
from torch import Tensor

from benchmarks.records.reading import describe_faults
from kgt.checkpoints import is_plain, read_content

# What Adam keeps of each parameter; the first is one number.
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


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


class ValidationPoint(NamedTuple):
    """Scores of the held-out images.

    Attributes:
        step: steps done.
        psnr: mean PSNR in dB by task, under the task's default protocol.
    """

    step: int
    psnr: dict[str, float]


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds; the attributes are those of `TrainingState`, and further ones.

    Attributes:
        model, ema: parameters by name.
        optimizer: its state dict, of which only the state is used; a recipe says the rest.
        random: state of torch's generator.
    """

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)

    identity: dict[str, str]
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    ema: dict[str, Tensor] | None
    random: Tensor
    step: NonNegativeInt
    times: list[FiniteFloat]
    recent: list[FiniteFloat]
    wall_s: NonNegativeFloat
    losses: list[LossPoint]
    validations: list[ValidationPoint]

    def __post_init__(self) -> None:
        lacking = {"model", "recipe", "data"} - self.identity.keys()
        if lacking:
            raise ValueError(f"identity lacks {', '.join(sorted(lacking))}")
        steps = [0, *(point.step for point in self.losses)]
        if steps != sorted(set(steps)) or len(self.times) != len(self.losses):
            raise ValueError("the loss curve is none")
        if steps[-1] + len(self.recent) != self.step:
            raise ValueError(f"the losses are not those of {self.step:,} steps")


def read_checkpoint(path: Path) -> Checkpoint:
    """Content of a checkpoint.

    Raises:
        ValueError: the file is no checkpoint of a training.
    """
    try:
        return TypeAdapter(Checkpoint).validate_python(read_content(path)[0])
    except ValueError as error:
        reason = describe_faults(error) if isinstance(error, ValidationError) else str(error)
        raise ValueError(
            f"{path} is damaged or no checkpoint of a training ({reason}); discard it with --fresh "
            "(fresh=True)"
        ) from error


def check_like(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], what: str) -> None:
    """Make sure that tensors can take the place of others.

    Raises:
        ValueError: names, shapes or types differ.
    """
    for name in dict.fromkeys([*own, *tensors]):
        stored, wanted = tensors.get(name), own.get(name)
        if stored is None or wanted is None:
            raise ValueError(f"{what}: {name} is {'missing' if stored is None else 'left over'}")
        if not (is_plain(stored) and stored.shape == wanted.shape and stored.dtype == wanted.dtype):
            raise ValueError(f"{what}: {name} has another shape or type")


def read_moments(
    content: Mapping[str, Any], parameters: list[Tensor]
) -> dict[int, dict[str, Tensor]]:
    """What Adam has kept of each parameter, from its state dict.

    Raises:
        ValueError: it is of other parameters, or none.
    """
    stored = content.get("state")
    if not isinstance(stored, dict) or not stored.keys() <= set(range(len(parameters))):
        raise ValueError("optimizer: the state is not of these parameters")
    for number, moments in stored.items():
        if not isinstance(moments, dict):
            raise ValueError(f"optimizer: the state of parameter {number} is none")
        own = parameters[number]
        like = dict.fromkeys(_MOMENTS, own) | {"step": torch.tensor(0.0)}
        check_like(moments, like, f"optimizer, parameter {number}")
    return stored
