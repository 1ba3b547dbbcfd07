"""Quality and training cells: evaluate a model on a set, train a network from its recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.models import create_for_task
from benchmarks.plan.cells import Cell
from benchmarks.plan.records import Metric
from benchmarks.quality import (
    DatasetNotFound,
    Evaluation,
    Gain,
    Item,
    evaluate,
    get_protocol,
    get_task,
    load_dataset,
    paired_gain,
)
from benchmarks.quality.manifest import MANIFEST
from benchmarks.training import Listener, TrainingResult, load_recipe, train
from kgt.model import KGT

OnStep = Callable[[str, float], None]


def _train(cell: Cell, checkpoints: Path, on_step: OnStep) -> TrainingResult:
    """Train the cell's model by its recipe, or take the finished training found there."""
    recipe = load_recipe(str(cell.recipe))
    if cell.seed:
        recipe = recipe.replace(seed=cell.seed)
    return train(
        str(cell.model),
        recipe,
        out_dir=checkpoints,
        stale="restart",
        listener=Listener(
            lambda step, loss: on_step(
                f"{cell.model}: step {step} of {recipe.steps}, loss {loss:.4f}",
                step / recipe.steps,
            )
        ),
    )


def run_training_cell(cell: Cell, checkpoints: Path, on_step: OnStep) -> dict[str, Any]:
    """Train the cell's model; the record keeps the loss curve and the digests."""
    result = _train(cell, checkpoints, on_step)
    first, second = result.losses[:2]
    return {
        "metrics": {
            "parameters": Metric(value=sum(p.numel() for p in result.model.parameters())),
            "loss": Metric(
                value=result.losses[-1].loss,
                unit="L1",
                statistic=f"mean of the last {second.step - first.step} steps",
                samples=tuple(round(point.loss, 6) for point in result.losses),
            ),
            "training_time": Metric(value=round(result.wall_s, 1), unit="s", statistic="once"),
        },
        "checks": {
            "steps": result.steps,
            "loss_every": second.step - first.step,
            "recipe": result.metadata["recipe_digest"],
            "weights": result.weights_digest,
            "data": result.data_digest,
        },
    }


def run_quality_cell(cell: Cell, checkpoints: Path, on_step: OnStep) -> dict[str, Any]:
    """Evaluate the cell's model on its set; without weights or set the cell is unsupported.

    Raises:
        ValueError: the protocol's rules are at another version than the cell's.
    """
    task = get_task(str(cell.task))
    protocol = get_protocol(str(cell.protocol).partition("@")[0])
    if str(protocol) != cell.protocol:
        raise ValueError(f"the cell asks for protocol {cell.protocol}, the rules are {protocol}")
    checks: dict[str, Any] = {}
    if cell.recipe is None:
        try:
            model = create_for_task(str(cell.model), task.conditions, pretrained=True)
        except ValueError as error:
            return {"status": "unsupported", "reason": str(error)}
    try:
        dataset = load_dataset(str(cell.dataset))
    except DatasetNotFound:
        return {"status": "unsupported", "reason": _describe_absence(str(cell.dataset))}
    if cell.recipe is not None:
        trained = _train(cell, checkpoints, on_step)
        model = trained.model
        checks["weights"] = trained.weights_digest
    if cell.k is not None:
        if not isinstance(model, KGT):
            raise ValueError(f"k = {cell.k}: {cell.model} has no graph whose keys could be chosen")
        model.set_k(cell.k)

    def progress(items: Iterable[Item]) -> Iterator[Item]:
        for done, item in enumerate(items):
            on_step(item.name, done / len(dataset))
            yield item

    def score(model: nn.Module, name: str) -> Evaluation:
        return evaluate(model, task, dataset, protocol, progress, name=name)

    evaluation = score(model, str(cell.model))
    metrics = {
        name: Metric(
            value=value, unit="dB" if name.startswith("psnr") else "", statistic="mean of images"
        )
        for name, value in evaluation.metrics.items()
        if value is not None
    }
    if cell.recipe is not None:
        baseline = "bicubic" if task.scale > 1 else "identity"
        plain = score(create_for_task(baseline, task.conditions), baseline)
        gain = paired_gain(evaluation, plain)
        if gain:
            metrics["gain"] = _describe_gain(gain)
    checks |= {
        "images": evaluation.images,
        "tiling": evaluation.tiling,
        "degradation": evaluation.degradation,
        "data": evaluation.data_digest[:12],
        "failed": evaluation.failed,
    }
    if len(dataset) < dataset.expected:
        checks["partial"] = dataset.coverage
    return {"metrics": metrics, "checks": checks, "per_image": evaluation.per_image}


def _describe_absence(dataset: str) -> str:
    """Why a set has no value, in words that are the same on every machine."""
    split = MANIFEST[dataset]["test"]
    return (
        f"{dataset} is absent: {split.count:,} images expected in {split.folder} of the data root"
    )


def _describe_gain(gain: Gain) -> Metric:
    return Metric(
        value=gain.mean,
        unit="dB",
        statistic="mean of paired differences over images",
        lo=gain.lo,
        hi=gain.hi,
        samples=gain.differences,
    )
