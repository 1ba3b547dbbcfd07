"""Model cards: where shipped weights come from, what they score, how to train them again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from baselines import registry
from baselines.catalog import list_any_models
from benchmarks.cli.escaping import escape_markdown, render_table
from benchmarks.data.datasets import load_dataset
from benchmarks.models import create_for_task
from benchmarks.quality import evaluate, paired_gain
from benchmarks.records.environment import describe_threads
from benchmarks.tasks import get_task
from benchmarks.training.data import open_datasets, split_images
from benchmarks.training.journal import CURVE, DESCRIPTION, LOG
from benchmarks.training.loop import TrainingResult
from benchmarks.training.recipes import Recipe
from kgt import zoo
from kgt.contract import Restorer, WholeImageRestorer
from kgt.errors import quote
from kgt.files import write_atomically

_HEAD = ["task", "images", "set", "protocol", "PSNR", "reference", "gain [99 %]"]
_LOG_LINES = 12


def ship(
    model_name: str,
    recipe: Recipe,
    result: TrainingResult,
    on_progress: Callable[[str], None] = lambda what: None,
) -> Path:
    """Put a trained network into its package: weights, log, curve and a model card.

    Args:
        model_name: a name of `list_any_models()`, without fields.
        recipe: what it was trained by.
        result: its training.
        on_progress: called with the task and set that are scored next.

    Returns:
        The card.

    Raises:
        ValueError: a name with fields, which no package could find again.
        DatasetNotFound: a test set is absent.
    """
    if model_name not in list_any_models():
        raise ValueError(f"{quote(model_name)} is no plain name of a model; only those are shipped")
    card = _card_path(model_name, ".md")
    scores = [
        row for task in recipe.tasks for row in _score(result.model, task, model_name, on_progress)
    ]
    run = result.weights.parent
    log = (run / LOG).read_bytes()
    write_atomically(card.with_suffix(".safetensors"), result.weights.read_bytes())
    write_atomically(card.with_suffix(".csv"), log)
    write_atomically(card.with_suffix(".svg"), (run / CURVE).read_bytes())
    where = _describe_machine(json.loads((run / DESCRIPTION).read_text()))
    text = render_card(model_name, recipe, result, scores, log.decode(), where)
    write_atomically(card, text.encode())
    return card


def shipped_log(model_name: str) -> Path:
    """The log of the training of a network whose weights ship."""
    return _card_path(model_name, ".csv")


def render_card(
    model_name: str,
    recipe: Recipe,
    result: TrainingResult,
    scores: list[list[str]],
    log: str,
    where: str,
) -> str:
    """The card as Markdown.

    Args:
        model_name: name of the network.
        recipe: what it was trained by.
        result: its training.
        scores: rows of task, set, images, protocol, PSNR, reference, gain.
        log: the training's log as CSV.
        where: what it ran on.
    """
    kept, held_out = split_images(recipe)
    used = escape_markdown(
        ", ".join(f"{len(dataset)} images of {dataset.name}/train" for dataset in kept)
    )
    sources = "; ".join(dataset.source or "unknown" for dataset in open_datasets(recipe))
    kind = type(result.model)
    first = (
        f"- Its first step, `prepare` of `{kind.__module__}.{kind.__name__}`, sees the whole "
        "image; it is not in the papers.\n"
        if isinstance(result.model, WholeImageRestorer)
        else ""
    )
    parameters = sum(parameter.numel() for parameter in result.model.parameters())
    lines = [row for row in csv.reader(io.StringIO(log)) if any(row[5:])]
    every = max(1, -(-len(lines) // _LOG_LINES))
    shown = lines[1:][::-1][::every][::-1]
    return f"""# {model_name}

{parameters:,} parameters, trained for {", ".join(recipe.tasks)} in {result.wall_s / 60:.0f} minutes
on {where}. It shows that the chain works and serves small experiments; networks of the papers are
tens of times larger and were trained a thousand times longer.

- Recipe: `{recipe.name}`, version {recipe.version}, digest {recipe.digest}: {result.steps:,} steps
  of {recipe.batch} patches of {recipe.patch}x{recipe.patch} pixels.
{first}- Data: {used}; {sum(map(len, held_out))} others validated. Source: {sources}. The weights
  come from these images; what their license asks, ask of the weights, too.
- Weights: `{model_name}.safetensors`, digest {result.weights_digest[:12]}; torch
  {result.metadata["torch"]}; components {result.metadata["components"]}.
- Again: `python -m benchmarks.train --model {model_name} --recipe {recipe.name} --ship`

## Scores

{render_table(_HEAD, scores)}

## Training

![Loss and validation]({model_name}.svg)

{render_table(lines[0], shown)}

The whole log is `{model_name}.csv`.
"""


def _score(
    model: Restorer, task_name: str, model_name: str, on_progress: Callable[[str], None]
) -> list[list[str]]:
    """A row per test set: how the network and the reference restore it."""
    task = get_task(task_name)
    reference = create_for_task(task.reference, task.conditions)
    rows = []
    for name in task.test_sets:
        on_progress(f"{task_name} on {name}")
        dataset = load_dataset(name)
        own = evaluate(model, task, dataset, name=model_name, strict=True)
        other = evaluate(reference, task, dataset, name=task.reference, strict=True)
        gain = paired_gain(own, other)
        rows.append(
            [
                task_name,
                own.coverage,
                name,
                own.protocol,
                f"{own.metrics['psnr']:.2f} dB",
                f"{task.reference}, {other.metrics['psnr']:.2f} dB",
                gain.describe(2, " dB") if gain else "",
            ]
        )
    return rows


def _card_path(model_name: str, suffix: str) -> Path:
    folder = zoo.WEIGHTS if model_name in zoo.list_models() else registry.WEIGHTS
    return folder / f"{model_name}{suffix}"


def _describe_machine(description: dict[str, Any]) -> str:
    """The machine that trained, from the description in a run folder."""
    environment, processes = description["environment"], description["processes"]
    threads = f"{describe_threads(environment['threads'])} of {environment['cpu']}"
    every = threads if processes == 1 else f"{processes} processes with {threads} each"
    return escape_markdown(every)
