"""Evaluate one model on one data set, or two against each other, and print the scores."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from benchmarks.measure.statistics import MIN_PAIRS
from benchmarks.models import create_any_model, load_weights
from benchmarks.quality import (
    Dataset,
    Evaluation,
    Gain,
    ImageFailed,
    Protocol,
    Task,
    evaluate,
    get_protocol,
    get_task,
    list_datasets,
    list_protocols,
    list_tasks,
    load_dataset,
    paired_gain,
)
from benchmarks.quality.gallery import save_comparison, save_restored

EXIT_FINE, EXIT_WRONG_USE, EXIT_FAILURE = 0, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 when at least one image was scored, 2 on wrong use or missing data, 3 on failure,
        such as that of every image, or with `--strict` that of any.
    """
    options = _build_parser().parse_args(arguments)
    try:
        task = get_task(options.task)
        dataset = load_dataset(options.dataset)
        protocol = get_protocol(options.protocol) if options.protocol else task.default_protocol
        save = partial(save_restored, options.save_images) if options.save_images else None
        evaluation = _run(
            options.model, options.weights, task, dataset, protocol, options.strict, save
        )
        against = None
        if options.against:
            against = _run(
                options.against, options.against_weights, task, dataset, protocol, options.strict
            )
        if options.save_images and evaluation.images:
            save_comparison(options.save_images, evaluation, task, dataset, protocol)
        if options.csv:
            _write_csv(options.csv, evaluation, against)
    except ImageFailed as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except ValueError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return EXIT_WRONG_USE
    except Exception:
        traceback.print_exc()
        return EXIT_FAILURE
    for result in filter(None, (evaluation, against)):
        for image, reason in result.failed.items():
            print(f"evaluate: {result.model}: {image} failed: {reason}", file=sys.stderr)
    gains = _compare(evaluation, against) if against else {}
    if options.json:
        print(json.dumps(_as_json(evaluation, against, gains)))
    else:
        _print_table(evaluation, protocol)
        if against:
            _print_comparison(evaluation, against, gains)
    return EXIT_FINE if evaluation.images else EXIT_FAILURE


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluate", description=__doc__)
    parser.add_argument("--task", required=True, help=", ".join(list_tasks()))
    parser.add_argument("--dataset", required=True, help=", ".join(list_datasets()))
    parser.add_argument("--model", required=True, help="a name of kgt or baselines list_models()")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="safetensors to load")
    parser.add_argument("--against", metavar="MODEL", help="a second model, compared by image")
    parser.add_argument("--against-weights", type=Path, metavar="FILE", help="its weights")
    parser.add_argument(
        "--protocol", help=f"default: the task's own; one of {', '.join(list_protocols())}"
    )
    parser.add_argument("--strict", action="store_true", help="fail at the first image that fails")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the scores of each image")
    parser.add_argument(
        "--save-images",
        type=Path,
        metavar="DIR",
        help="write the restored images, and a picture of the worst, median and best",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _run(
    name: str,
    weights: Path | None,
    task: Task,
    dataset: Dataset,
    protocol: Protocol,
    strict: bool,
    save: Any = None,
) -> Evaluation:
    messages = Console(stderr=True)
    progress = partial(track, description=name, console=messages, disable=not messages.is_terminal)
    model = _create_trained_model(name, task, weights)
    callbacks = {"on_restored": save} if save else {}
    return evaluate(model, task, dataset, protocol, progress, name=name, strict=strict, **callbacks)


def _create_trained_model(name: str, task: Task, weights: Path | None) -> nn.Module:
    # One name serves every scale: bicubic has no weights that would tie it to one.
    overrides = {"scale": task.scale} if name == "bicubic" else {}
    model = create_any_model(name, **overrides)
    if weights:
        load_weights(model, weights)
    elif next(model.parameters(), None) is not None:
        try:
            model = create_any_model(name, pretrained=True)
        except ValueError as error:
            raise ValueError(f"{error} (here: --weights FILE)") from error
    return model


def _print_table(evaluation: Evaluation, protocol: Protocol) -> None:
    table = Table()
    table.add_column("image")
    for column in evaluation.metrics:
        table.add_column(column.upper(), justify="right")
    for image, scores in evaluation.per_image.items():
        table.add_row(image, *map(_format_score, scores.values()))
    table.add_section()
    table.add_row(f"mean of {evaluation.images}", *map(_format_score, evaluation.metrics.values()))
    console = Console(highlight=False)
    console.print(
        f"{evaluation.model} on {evaluation.dataset} ({evaluation.coverage} images), "
        f"{evaluation.task}, inputs: {evaluation.degradation}"
    )
    console.print(table)
    for column, reason in evaluation.unavailable.items():
        console.print(f"{column}: {reason}", markup=False, soft_wrap=True)
    if evaluation.failed:
        console.print(f"{len(evaluation.failed)} images failed and are in no mean")
    console.print(protocol.text, markup=False)


def _compare(evaluation: Evaluation, against: Evaluation) -> dict[str, Gain | None]:
    return {column: paired_gain(evaluation, against, column) for column in evaluation.metrics}


def _print_comparison(
    evaluation: Evaluation, against: Evaluation, gains: dict[str, Gain | None]
) -> None:
    print(f"{evaluation.model} less {against.model}, mean over images with a 99 % interval:")
    for column, gain in gains.items():
        if gain is None:
            print(f"  {column.upper()}: no image has a finite difference")
            continue
        count = len(gain.differences)
        caution = ""
        if count < MIN_PAIRS:
            caution = f"; {count} images cannot carry such an interval, take {MIN_PAIRS} or more"
        print(
            f"  {column.upper()}: {gain.mean:+.4f} [{gain.lo:+.4f}, {gain.hi:+.4f}] over {count} "
            f"images, better on {gain.wins}, worse on {gain.losses}{caution}"
        )


def _as_json(
    evaluation: Evaluation, against: Evaluation | None, gains: dict[str, Gain | None]
) -> dict[str, Any]:
    document = asdict(evaluation)
    if against:
        document["against"] = asdict(against)
        document["gain"] = {column: gain and asdict(gain) for column, gain in gains.items()}
    return document


def _write_csv(path: Path, evaluation: Evaluation, against: Evaluation | None) -> None:
    """One row per image: the scores of the model, those of its rival, and why it failed."""
    runs = [("", evaluation)] + ([(f"{against.model}:", against)] if against else [])
    header = [f"{prefix}{column}" for prefix, run in runs for column in (*run.metrics, "failed")]
    names = sorted({name for _, run in runs for name in (*run.per_image, *run.failed)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", *header])
        for name in names:
            row: list[Any] = [name]
            for _, run in runs:
                scores = run.per_image.get(name, {})
                row += [scores.get(column, "") for column in run.metrics]
                row.append(run.failed.get(name, ""))
            writer.writerow(row)


def _format_score(score: float | str | None) -> str:
    return f"{score:.4f}" if isinstance(score, float) else str(score or "-")


if __name__ == "__main__":
    sys.exit(main())
