"""Quality and training cells: evaluate a model on a set, train a network from its recipe."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.data.datasets import DatasetNotFound, Item, load_dataset
from benchmarks.data.manifest import MANIFEST
from benchmarks.models import create_any_model, create_for_task
from benchmarks.quality import Evaluation, Gain, evaluate, paired_gain
from benchmarks.records.cell import Cell
from benchmarks.records.record import Quantity
from benchmarks.tasks import get_metric, get_protocol, get_task
from benchmarks.training.cards import shipped_log
from benchmarks.training.loop import Listener, TrainingResult, train
from benchmarks.training.recipes import load_recipe
from benchmarks.training.state import digest_weights
from kgt.contract import Restorer
from kgt.network.model import KGT

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
    """Train the cell's model, or read the log that ships with its weights if it has no recipe."""
    if cell.recipe is None:
        return _read_shipped(str(cell.model))
    result = _train(cell, checkpoints, on_step)
    return _describe_training(
        result.model, result.metadata, [point[:2] for point in result.losses], result.wall_s
    )


def _read_shipped(name: str) -> dict[str, Any]:
    try:
        model = create_any_model(name, pretrained=True)
    except ValueError as error:
        return {"status": "unsupported", "reason": str(error)}
    with shipped_log(name).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["loss"]]
    losses = [(int(row["step"]), float(row["loss"])) for row in rows]
    return _describe_training(model, model.provenance, losses, float(rows[-1]["seconds"]))


def _describe_training(
    model: Restorer, metadata: Mapping[str, str], losses: list[tuple[int, float]], wall_s: float
) -> dict[str, Any]:
    """Metrics and checks of a training whose losses are means over equal numbers of steps."""
    every = losses[1][0] - losses[0][0]
    return {
        "metrics": {
            "parameters": Quantity(value=sum(p.numel() for p in model.parameters())),
            "loss": Quantity(
                value=losses[-1][1],
                unit="L1",
                statistic=f"mean of the last {every} steps",
                samples=tuple(round(loss, 6) for _, loss in losses),
            ),
            "training_time": Quantity(value=round(wall_s, 1), unit="s", statistic="once"),
        },
        "checks": {
            "trained": metadata["recipe"],
            "steps": int(metadata["steps"]),
            "loss_every": every,
            "recipe": metadata["recipe_digest"],
            "weights": digest_weights(model),
            "data": metadata["data_digest"],
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
        checks["trained"] = trained.metadata["recipe"]
        checks["weights"] = trained.weights_digest
    elif provenance := model.provenance:
        checks["trained"] = provenance["recipe"]
    if cell.k is not None:
        if not isinstance(model, KGT):
            raise ValueError(f"k = {cell.k}: {cell.model} has no graph whose keys could be chosen")
        model.set_k(cell.k)

    def progress(items: Iterable[Item]) -> Iterator[Item]:
        for done, item in enumerate(items):
            on_step(item.name, done / len(dataset))
            yield item

    def score(model: Restorer, name: str) -> Evaluation:
        return evaluate(model, task, dataset, protocol, progress, name=name)

    evaluation = score(model, str(cell.model))
    metrics = {
        name: Quantity(value=value, unit=get_metric(name).unit, statistic="mean of images")
        for name, value in evaluation.metrics.items()
        if value is not None
    }
    if "trained" in checks:
        reference = create_for_task(task.reference, task.conditions)
        gain = paired_gain(evaluation, score(reference, task.reference))
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


def _describe_gain(gain: Gain) -> Quantity:
    return Quantity(
        value=gain.mean,
        unit="dB",
        statistic="mean of paired differences over images",
        lo=gain.lo,
        hi=gain.hi,
        samples=gain.differences,
    )
