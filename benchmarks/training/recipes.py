"""Training recipes: everything that determines trained weights besides the model and the code."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

_RECIPES = Path(__file__).with_name("recipes")

Fraction = Annotated[float, Field(gt=0, lt=1)]


class Recipe(BaseModel):
    """How a network is trained; frozen, and identified by the digest of its content.

    Attributes:
        name: lower-case with hyphens, also the stem of its file.
        version: raised whenever the content of a named recipe changes.
        task: registry name of the task, which makes the inputs.
        dataset: data set whose train split is used; test splits cannot be named.
        images: stems of the images to use, all of the split when empty.
        steps: optimizer steps.
        batch: patches per step.
        patch: side of an input patch, in pixels of the input.
        start: "random" weights, or "nearest", from which a network starts as nearest-neighbor
            interpolation (see `start_as_nearest`), for trainings of minutes.
        optimizer: name of the optimizer.
        lr: peak learning rate.
        weight_decay: decoupled weight decay.
        betas: decay rates of the two moments.
        schedule: "cosine" to nearly zero, or the fractions of the training at which the learning
            rate is halved.
        warmup: fraction of the training over which the learning rate rises linearly.
        loss: name of the loss.
        k: keys per token of a key-graph network: fixed, or drawn anew at each step from several
            choices; None keeps the network's own.
        clip_grad_norm: upper limit of the norm of the whole gradient, None for no limit.
        seed: seed of the initial weights, the patches and the draws of k.
        checkpoint_every_s: seconds between checkpoints, 0 for one after each step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    version: PositiveInt
    task: str
    dataset: str
    images: tuple[str, ...] = ()
    steps: PositiveInt
    batch: PositiveInt
    patch: PositiveInt
    start: Literal["random", "nearest"] = "random"
    optimizer: Literal["adamw"] = "adamw"
    lr: PositiveFloat
    weight_decay: NonNegativeFloat = 1e-4
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    schedule: Literal["cosine"] | tuple[Fraction, ...] = "cosine"
    warmup: float = Field(default=0.0, ge=0, lt=1)
    loss: Literal["l1"] = "l1"
    k: PositiveInt | Annotated[tuple[PositiveInt, ...], Field(min_length=1)] | None = None
    clip_grad_norm: PositiveFloat | None = None
    seed: int = Field(default=1234, ge=0)
    checkpoint_every_s: NonNegativeFloat = 60.0

    @property
    def digest(self) -> str:
        """Short hash of the whole content."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        progress = step / self.steps
        if self.schedule == "cosine":
            decay = (1 + math.cos(math.pi * progress)) / 2
        else:
            decay = 0.5 ** sum(progress >= milestone for milestone in self.schedule)
        rise = (step + 1) / max(1.0, self.warmup * self.steps)
        return self.lr * decay * min(1.0, rise)

    def with_steps(self, steps: int) -> Recipe:
        """The same recipe over another number of steps, with the digest that follows from it.

        Raises:
            ValueError: Fewer than 1 step.
        """
        return Recipe.model_validate({**self.model_dump(), "steps": steps})


def list_recipes() -> list[str]:
    """Names of the recipes, sorted."""
    return sorted(path.stem for path in _RECIPES.glob("*.yaml"))


def load_recipe(name: str) -> Recipe:
    """Read a recipe by name.

    Raises:
        ValueError: Unknown name, or a file that is not a valid recipe of that name.
    """
    if name not in list_recipes():
        raise ValueError(f"unknown recipe {name!r}; valid names: {', '.join(list_recipes())}")
    path = _RECIPES / f"{name}.yaml"
    recipe = Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    if recipe.name != name:
        raise ValueError(f"{path} calls itself {recipe.name!r}; name it {name!r}")
    return recipe
