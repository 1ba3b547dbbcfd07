"""Evaluate one model on one data set and print its scores."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from benchmarks.models import create_any_model, load_weights
from benchmarks.quality import (
    Evaluation,
    Protocol,
    Task,
    evaluate,
    get_protocol,
    get_task,
    list_datasets,
    list_protocols,
    list_tasks,
    load_dataset,
)

EXIT_FINE, EXIT_WRONG_USE, EXIT_FAILURE = 0, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 when at least one image was scored, 2 on wrong use or missing data, 3 on failure,
        such as that of every image.
    """
    options = _build_parser().parse_args(arguments)
    messages = Console(stderr=True)
    try:
        task = get_task(options.task)
        dataset = load_dataset(options.dataset)
        protocol = get_protocol(options.protocol) if options.protocol else task.default_protocol
        model = _create_trained_model(options.model, task, options.weights)
        progress = partial(
            track, description=dataset.name, console=messages, disable=not messages.is_terminal
        )
        evaluation = evaluate(model, task, dataset, protocol, progress, name=options.model)
    except ValueError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return EXIT_WRONG_USE
    except Exception:
        traceback.print_exc()
        return EXIT_FAILURE
    for image, reason in evaluation.failed.items():
        print(f"evaluate: {image} failed: {reason}", file=sys.stderr)
    if options.json:
        print(json.dumps(asdict(evaluation)))
    else:
        _print_table(evaluation, protocol)
    return EXIT_FINE if evaluation.images else EXIT_FAILURE


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluate", description=__doc__)
    parser.add_argument("--task", required=True, help=", ".join(list_tasks()))
    parser.add_argument("--dataset", required=True, help=", ".join(list_datasets()))
    parser.add_argument("--model", required=True, help="a name of kgt or baselines list_models()")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="safetensors to load")
    parser.add_argument(
        "--protocol", help=f"default: the task's own; one of {', '.join(list_protocols())}"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


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
    console.print(protocol.text, markup=False)


def _format_score(score: float | str | None) -> str:
    return f"{score:.4f}" if isinstance(score, float) else str(score or "-")


if __name__ == "__main__":
    sys.exit(main())
