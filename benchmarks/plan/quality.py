"""Quality and training cells: evaluate a model on a set, train a network from its recipe."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from statistics import fmean

from baselines import WeightsUnavailableError
from baselines.catalog import create_any_model
from baselines.dense import DenseTwin
from benchmarks.data.datasets import DatasetNotFound, Item, load_dataset
from benchmarks.data.manifest import MANIFEST
from benchmarks.measure.structure import measure_overlap
from benchmarks.models import create_for_task
from benchmarks.quality import Evaluation, Gain, evaluate, paired_gain
from benchmarks.quality.evaluation import as_batch, evaluation_mode
from benchmarks.records.cell import QualityCell, TrainingCell
from benchmarks.records.result import Missing, QualityResult, Quantity, TrainingResult
from benchmarks.tasks import get_metric, get_protocol, get_task
from benchmarks.training.cards import shipped_log
from benchmarks.training.data import split_images
from benchmarks.training.loop import Listener, train
from benchmarks.training.loop import TrainingResult as FinishedTraining
from benchmarks.training.recipes import load_recipe
from benchmarks.training.state import digest_weights
from kgt.contract import Restorer
from kgt.network.model import KGT

OnStep = Callable[[str, float], None]
# Pixels of the inputs on which graphs are compared: a graph knows no more than its window.
_OVERLAP_SIDE = 128


def _train(
    cell: QualityCell | TrainingCell, name: str, checkpoints: Path, on_step: OnStep
) -> FinishedTraining:
    """Train the cell's model by a recipe, or take the finished training found there."""
    recipe = load_recipe(name)
    if cell.seed:
        recipe = recipe.replace(seed=cell.seed)

    def report(step: int, loss: float) -> None:
        what = f"{cell.model}: step {step} of {recipe.steps}, loss {loss:.4f}"
        on_step(what, step / recipe.steps)

    listener = Listener(report, on_image=lambda name: on_step(f"test images: {name}", 0.0))
    return train(cell.model, recipe, out_dir=checkpoints, stale="restart", listener=listener)


def run_training_cell(
    cell: TrainingCell, checkpoints: Path, on_step: OnStep
) -> TrainingResult | Missing:
    """Train the cell's model, or read the log that ships with its weights if it has no recipe."""
    if cell.recipe is None:
        return _read_shipped(cell.model)
    done = _train(cell, cell.recipe, checkpoints, on_step)
    psnr = done.validations[-1].psnr if done.validations else {}
    losses = [point[:2] for point in done.losses]
    result = _describe_training(done.model, done.metadata, losses, done.wall_s, list(psnr.values()))
    return result.model_copy(update={"overlap": _measure_overlap(done.model, cell.recipe)})


def _measure_overlap(model: Restorer, recipe: str) -> Quantity | None:
    """How graphs age over the layers of a key-graph network, on the images held out, cut to fit."""
    if not isinstance(model, KGT) or isinstance(model, DenseTwin):
        return None
    chosen = load_recipe(recipe)
    task = get_task(chosen.tasks[0])
    inputs = [
        task.make_pair(dataset, item).input[:_OVERLAP_SIDE, :_OVERLAP_SIDE]
        for dataset in split_images(chosen)[1]
        for item in dataset
    ]
    if not inputs:
        return None
    with evaluation_mode(model):
        by_depth = measure_overlap(model, (as_batch(model, image) for image in inputs))
    return Quantity(
        value=fmean(by_depth[1:] or by_depth),
        statistic="mean of layers after the first, images held out",
        samples=tuple(by_depth),
    )


def _read_shipped(name: str) -> TrainingResult | Missing:
    try:
        model = create_any_model(name, pretrained=True)
    except ValueError as error:
        return Missing(status="unsupported", reason=str(error))
    with shipped_log(name).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["loss"]]
    losses = [(int(row["step"]), float(row["loss"])) for row in rows]
    psnr = [float(v) for name, v in rows[-1].items() if name.startswith("psnr ") and v]
    seconds = float(rows[-1]["seconds"])
    return _describe_training(model, model.provenance, losses, seconds, psnr)


def _describe_training(
    model: Restorer,
    metadata: Mapping[str, str],
    losses: list[tuple[int, float]],
    wall_s: float,
    psnr: list[float],
) -> TrainingResult:
    """The result of a training whose losses are means over equal numbers of steps.

    PSNR is that of the held-out images at the end, by task.
    """
    every = losses[0][0]
    held_out = None
    if psnr:
        statistic = "mean of tasks and held-out images"
        held_out = Quantity(value=fmean(psnr), unit="dB", statistic=statistic, samples=tuple(psnr))
    return TrainingResult(
        parameters=Quantity(value=sum(p.numel() for p in model.parameters())),
        loss=Quantity(
            value=losses[-1][1],
            unit="L1",
            statistic=f"mean of the last {every} steps",
            samples=tuple(round(loss, 6) for _, loss in losses),
        ),
        training_time=Quantity(value=round(wall_s, 1), unit="s", statistic="once"),
        held_out=held_out,
        trained=metadata["recipe"],
        steps=int(metadata["steps"]),
        loss_every=every,
        recipe=metadata["recipe_digest"],
        weights=digest_weights(model),
        data=metadata["data_digest"],
    )


def run_quality_cell(
    cell: QualityCell, checkpoints: Path, on_step: OnStep
) -> QualityResult | Missing:
    """Evaluate the cell's model on its set; without weights or set the cell is unsupported.

    Raises:
        ValueError: the protocol's rules are at another version than the cell's.
    """
    task = get_task(cell.task)
    protocol = get_protocol(cell.rules)
    if str(protocol) != cell.protocol:
        raise ValueError(f"the cell asks for protocol {cell.protocol}, the rules are {protocol}")
    trained = weights = None
    if cell.recipe is None:
        try:
            model = create_for_task(cell.model, task.conditions, pretrained=True)
        except WeightsUnavailableError as error:
            return Missing(status="unsupported", reason=error.anywhere)
        except ValueError as error:
            return Missing(status="unsupported", reason=str(error))
    try:
        dataset = load_dataset(cell.dataset)
    except DatasetNotFound:
        return Missing(status="unsupported", reason=_describe_absence(cell.dataset))
    if cell.recipe is not None:
        done = _train(cell, cell.recipe, checkpoints, on_step)
        model = done.model
        trained, weights = done.metadata["recipe"], done.weights_digest
    elif provenance := model.provenance:
        trained = provenance["recipe"]
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

    evaluation = score(model, cell.model)
    scores = {
        name: Quantity(value=value, unit=get_metric(name).unit, statistic="mean of images")
        for name, value in evaluation.metrics.items()
        if value is not None
    }
    gain = None
    if trained:
        reference = create_for_task(task.reference, task.conditions)
        gain = paired_gain(evaluation, score(reference, task.reference))
    return QualityResult(
        scores=scores,
        gain=_describe_gain(gain) if gain else None,
        trained=trained,
        weights=weights,
        images=evaluation.images,
        tiling=evaluation.tiling,
        degradation=evaluation.degradation,
        data=evaluation.data_digest[:12],
        failed=evaluation.failed,
        partial=dataset.coverage if len(dataset) < dataset.expected else None,
        per_image=evaluation.per_image,
    )


def _describe_absence(dataset: str) -> str:
    """Why a set has no value, in words that are the same on every machine."""
    split = MANIFEST[dataset]["test"]
    expected = f"{split.count:,} images expected in {split.folder}"
    return f"{dataset} is absent: {expected} of the data root"


def _describe_gain(gain: Gain) -> Quantity:
    return Quantity(
        value=gain.mean,
        unit="dB",
        statistic="mean of paired differences over images",
        lo=gain.lo,
        hi=gain.hi,
        samples=gain.differences,
    )
