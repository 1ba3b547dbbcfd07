"""Training recipes: everything that determines trained weights besides the model and the code."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationError,
    model_validator,
)

from benchmarks.records.reading import describe_faults, read_yaml
from benchmarks.tasks import get_task
from kgt.cli import read_value, split_model
from kgt.errors import quote, unknown

_RECIPES = Path(__file__).with_name("recipes")

Fraction = Annotated[float, Field(gt=0, lt=1)]
# Fields that steer a training without a trace in its weights.
_NO_TRACE = {"checkpoint_every_s", "validate_every"}
_NAMES = {"name", "version"}


class OwnFolder(BaseModel):
    """Images of one's own, all of which are trained on.

    Attributes:
        folder: where they lie, relative to the recipe's file; a `dataset.yaml` in it may describe
            them (see `describe_folder`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str = Field(min_length=1)


DatasetChoice = Annotated[
    Annotated[str, Tag("str")] | Annotated[OwnFolder, Tag("OwnFolder")],
    Discriminator(lambda value: "str" if isinstance(value, str) else "OwnFolder"),
]


class Recipe(BaseModel):
    """How a network is trained; frozen, and identified by the digest of its content.

    Attributes:
        name: lower-case with hyphens, also the stem of its file; followed by the fields that are
            changed, if any, as in `load_recipe`.
        version: raised whenever the content of a named recipe changes.
        tasks: registry names of the tasks the network is to master; each patch is degraded as one
            of them asks, drawn evenly. All have one scale.
        level: lowest and highest level of degradation, from which each patch's is drawn evenly: of
            the noise (sigma, on the scale of 0..255) or of JPEG (quality). None keeps the tasks'
            own levels.
        datasets: data sets whose train splits are used, by name; test splits cannot be named. Or
            folders of one's own.
        images: stems of the images to use, all of the splits when empty.
        exclude: stems of images to leave out, such as those that show images of test sets.
        held_out: how many of the images, the last ones, validate instead of train.
        steps: optimizer steps.
        batch: patches per step, over all processes.
        patch: side of an input patch, in pixels of the input.
        start: "random" weights, or "nearest", from which a network starts as nearest-neighbor
            interpolation, at scale 1 as its input (see `start_as_nearest`), for short trainings.
        optimizer: "adamw" (decoupled weight decay) or "adam".
        lr: peak learning rate.
        weight_decay: of the optimizer.
        betas: decay rates of the two moments.
        schedule: "cosine" to nearly zero, or the fractions of the training at which the learning
            rate is halved.
        warmup: fraction of the training over which the learning rate rises linearly.
        loss: "l1", "charbonnier", "smooth-l1" or "psnr" (see `make_loss`).
        perceptual: weight of the distance between VGG features, added to the loss.
        ema: decay of the exponential moving average of the weights, which is then what is
            validated and kept; None for none.
        precision: "float32", "bfloat16" (autocast) or "float64".
        k: keys per token of a key-graph network: fixed, or drawn anew at each step from several
            choices; None keeps the network's own.
        clip_grad_norm: upper limit of the norm of the whole gradient, None for no limit.
        seed: seed of the initial weights, the patches and the draws of k.
        checkpoint_every_s: seconds between checkpoints, 0 for one after each step.
        validate_every: steps between validations, of which the last comes at the end in any case.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*(:[a-z_]+=[^:]+)*$")
    version: PositiveInt
    tasks: tuple[str, ...] = Field(min_length=1)
    level: tuple[PositiveFloat, PositiveFloat] | None = None
    datasets: tuple[DatasetChoice, ...] = Field(min_length=1)
    images: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    held_out: NonNegativeInt = 0
    steps: PositiveInt
    batch: PositiveInt
    patch: PositiveInt
    start: Literal["random", "nearest"] = "random"
    optimizer: Literal["adamw", "adam"] = "adamw"
    lr: PositiveFloat
    weight_decay: NonNegativeFloat = 1e-4
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    schedule: Literal["cosine"] | tuple[Fraction, ...] = "cosine"
    warmup: float = Field(default=0.0, ge=0, lt=1)
    loss: Literal["l1", "charbonnier", "smooth-l1", "psnr"] = "l1"
    perceptual: NonNegativeFloat = 0.0
    ema: Fraction | None = None
    precision: Literal["float32", "bfloat16", "float64"] = "float32"
    k: PositiveInt | Annotated[tuple[PositiveInt, ...], Field(min_length=1)] | None = None
    clip_grad_norm: PositiveFloat | None = None
    seed: int = Field(default=1234, ge=0, lt=2**63)
    checkpoint_every_s: NonNegativeFloat = 60.0
    validate_every: PositiveInt = 1000

    @model_validator(mode="after")
    def _check_tasks(self) -> Recipe:
        tasks = [get_task(name) for name in self.tasks]
        if len({task.scale for task in tasks}) > 1:
            raise ValueError(
                f"tasks {', '.join(self.tasks)} differ in scale; a network has one, so name tasks "
                "of one scale"
            )
        if self.level is not None:
            if self.level[0] > self.level[1]:
                raise ValueError(f"level = {self.level}: the lower end comes first")
            fixed = [task.name for task in tasks if task.patches is None or task.level is None]
            if fixed:
                raise ValueError(f"level = {self.level}: {', '.join(fixed)} has no level; drop it")
        return self

    @property
    def scale(self) -> int:
        """Output size over input size, of all tasks."""
        return get_task(self.tasks[0]).scale

    @property
    def digest(self) -> str:
        """Short hash of the content that shows in the weights.

        Where a folder of one's own lies is left out: what is in it has a digest of its own.
        """
        content = self.model_dump(mode="json", exclude=_NO_TRACE)
        content["datasets"] = [
            name if isinstance(name, str) else OwnFolder.__name__ for name in self.datasets
        ]
        if not self.exclude:
            del content["exclude"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        progress = step / self.steps
        if self.schedule == "cosine":
            decay = (1 + math.cos(math.pi * progress)) / 2
        else:
            decay = 0.5 ** sum(progress >= milestone for milestone in self.schedule)
        rise = (step + 1) / max(1.0, self.warmup * self.steps)
        return self.lr * decay * min(1.0, rise)

    def find_differences(self, other: Recipe) -> set[str]:
        """The fields in which two recipes differ, but for names and what leaves no trace."""
        own, theirs = self.model_dump(), other.model_dump()
        return {field for field in own if own[field] != theirs[field]} - _NAMES - _NO_TRACE

    def replace(self, **fields: object) -> Recipe:
        """The same recipe but for these fields, with the digest that follows from them.

        Raises:
            ValueError: an unknown field or a value it does not take.
        """
        return _validate({**self.model_dump(), **fields}, f"recipe {self.name}")


def list_recipes() -> list[str]:
    """Names of the recipes, sorted."""
    return sorted(path.stem for path in _RECIPES.glob("*.yaml"))


def load_recipe(description: str) -> Recipe:
    """Read a recipe by name, or from a file, and change fields of it.

    Args:
        description: NAME, or NAME:field=value:field=value with fields to change; NAME is one of
            `list_recipes()`, or the path of a YAML file.

    Raises:
        ValueError: an unknown name, or a file that is no valid recipe, naming what is wrong in it;
            a recipe among ours that is not called as its file.
    """
    if Path(description).is_file():
        return _read(description)
    name, given = split_model(description)
    recipe = _read(name)
    if not given:
        return recipe
    fields = {field: read_value(value) for field, value in given}
    changed = ":".join([recipe.name, *(f"{field}={value}" for field, value in given)])
    return recipe.replace(name=changed, **fields)


def _read(name: str) -> Recipe:
    path = _RECIPES / f"{name}.yaml"
    if name not in list_recipes():
        path = Path(name)
        if path.suffix not in (".yaml", ".yml"):
            raise unknown("recipe", name, ["the path of a YAML file", *list_recipes()])
        if not path.is_file():
            raise ValueError(f"there is no recipe {quote(name)}; name a file, or a recipe of ours")
    recipe = _validate(read_yaml(path), str(path))
    if any(isinstance(dataset, OwnFolder) for dataset in recipe.datasets):
        recipe = recipe.replace(
            datasets=[
                dataset
                if isinstance(dataset, str)
                else OwnFolder(folder=str(path.parent.resolve() / dataset.folder))
                for dataset in recipe.datasets
            ]
        )
    if path.parent == _RECIPES and recipe.name != name:
        raise ValueError(f"{path} calls itself {recipe.name!r}; name it {name!r}")
    return recipe


def _validate(content: dict[str, object], where: str) -> Recipe:
    """A recipe, or one line that says which fields are wrong and how."""
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        reason = describe_faults(error, ", ".join(Recipe.model_fields))
        raise ValueError(f"{where}: {reason}") from error
