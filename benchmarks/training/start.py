"""Where a training starts from."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.models import create_described
from benchmarks.tasks import get_task
from benchmarks.training.recipes import Recipe
from kgt.contract import Restorer, WholeImageRestorer, as_module

# The convolutions to set, one kind of network after the other. At scale 1 it is the last one, whose
# result a network adds to its input; at a larger scale the first one, the one that closes the deep
# branch, and the head before pixel shuffle.
_LARGER_SCALE = (
    ("conv_in", "conv_body", "head.0"),
    ("conv_first", "conv_after_body", "upsample.0"),
)
_SCALE_1 = (("conv_out",), ("head",), ("conv_last",))
_HEAD_NOISE = 0.1


def create_network(name: str, recipe: Recipe) -> Restorer:
    """The network that a recipe trains, as it is before the first step.

    Raises:
        ValueError: it has nothing to train, or does not fit the task.
    """
    model = create_described(name)
    task = get_task(recipe.tasks[0])
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"{name} has no parameters to train; choose another model")
    if (model.scale, model.in_channels) != (task.scale, task.channels):
        raise ValueError(
            f"recipe {recipe.name} needs a model of scale {task.scale} and {task.channels} "
            f"channels, got {name} of scale {model.scale} and {model.in_channels}"
        )
    if recipe.start == "nearest":
        start_as_nearest(model.body if isinstance(model, WholeImageRestorer) else model)
    return model


def create_optimizer(model: Restorer, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimizer of a recipe."""
    kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
    return kinds[recipe.optimizer](
        model.parameters(),
        lr=recipe.lr,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


@torch.no_grad()
def start_as_nearest(model: Restorer) -> None:
    """Set a network to nearest-neighbor interpolation, which at scale 1 is its input itself.

    The shallow path carries the colors through unchanged, the deep branch adds zero. Learning this
    takes a short training most of its steps, and says nothing about an architecture.

    Args:
        model: a KGT or a SwinIR of scale 1, or one of a larger scale that is columnar or has the
            "pixelshuffledirect" head.

    Raises:
        ValueError: when the model is of another kind.
    """
    if model.scale == 1:
        (last,) = _find_convolutions(model, _SCALE_1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
    else:
        _carry_colors(*_find_convolutions(model, _LARGER_SCALE))


def _find_convolutions(model: Restorer, kinds: tuple[tuple[str, ...], ...]) -> list[nn.Conv2d]:
    modules = dict(as_module(model).named_modules())
    for names in kinds:
        found = [modules.get(name) for name in names]
        convolutions = [module for module in found if isinstance(module, nn.Conv2d)]
        if len(convolutions) == len(names):
            return convolutions
    raise ValueError(
        f"{type(model).__name__} has none of {' or '.join(', '.join(names) for names in kinds)}, "
        "by which a KGT or a SwinIR is known; take a recipe with start: random"
    )


def _carry_colors(first: nn.Conv2d, body: nn.Conv2d, head: nn.Conv2d) -> None:
    colors = first.in_channels
    first.weight[:colors] = nn.init.dirac_(torch.empty_like(first.weight[:colors]))
    nn.init.zeros_(body.weight)
    head.weight.mul_(_HEAD_NOISE)
    subpixels = head.out_channels // colors
    for color in range(colors):
        head.weight[color * subpixels : (color + 1) * subpixels, color, 1, 1] += 1
    for convolution in (first, body, head):
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
