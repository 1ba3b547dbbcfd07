"""Evaluate one model on one data set, or two against each other, and print the scores."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track
from torch import nn

from benchmarks.models import create_for_task, load_weights
from benchmarks.quality import (
    Evaluation,
    ImageFailed,
    Item,
    Protocol,
    Task,
    Tiling,
    compare_tiling,
    evaluate,
    get_protocol,
    get_task,
    list_datasets,
    list_protocols,
    list_tasks,
    load_dataset,
    paired_gain,
)
from benchmarks.quality.datasets import Dataset
from benchmarks.quality.gallery import save_comparison, save_restored
from benchmarks.quality.presentation import (
    describe,
    print_gains,
    print_scores,
    print_tile_effects,
    write_csv,
)
from kgt.inference import BYTE_BUDGET, OVERLAP

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
        tiling = _read_tiling(options)
        if options.compare_tiling:
            return _compare_tiling(options, task, dataset, protocol, tiling)
        return _evaluate(options, task, dataset, protocol, tiling)
    except ImageFailed as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except ValueError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return EXIT_WRONG_USE
    except Exception:
        traceback.print_exc()
        return EXIT_FAILURE


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
    tiles = parser.add_argument_group("tiles, which images are restored whole without")
    tiles.add_argument("--tile", metavar="N|auto", help="side in pixels, or what a budget allows")
    tiles.add_argument("--overlap", type=int, default=OVERLAP, metavar="N", help="in pixels")
    tiles.add_argument(
        "--byte-budget", type=int, default=BYTE_BUDGET // 2**20, metavar="MIB", help="of auto"
    )
    tiles.add_argument(
        "--compare-tiling", action="store_true", help="report whole images against tiles"
    )
    return parser


def _read_tiling(options: argparse.Namespace) -> Tiling:
    if options.tile is None:
        if options.compare_tiling:
            raise ValueError("--compare-tiling compares whole images with tiles: add --tile")
        return Tiling()
    if options.tile != "auto" and not options.tile.isdecimal():
        raise ValueError(f"--tile {options.tile}: a number of pixels, or auto")
    budget = options.byte_budget * 2**20
    if options.tile == "auto":
        return Tiling("auto", options.overlap, budget)
    return Tiling(int(options.tile), options.overlap, budget)


def _evaluate(
    options: argparse.Namespace, task: Task, dataset: Dataset, protocol: Protocol, tiling: Tiling
) -> int:
    if options.against_weights and not options.against:
        raise ValueError("--against-weights are those of a second model: add --against MODEL")
    run = partial(
        evaluate,
        task=task,
        dataset=dataset,
        protocol=protocol,
        strict=options.strict,
        tiling=tiling,
    )
    model = _create_trained_model(options.model, task, options.weights)
    against: Evaluation | None = None
    if options.against:
        rival = _create_trained_model(options.against, task, options.against_weights)
        against = run(rival, progress=_show_progress(options.against), name=options.against)
    if options.save_images:
        run = partial(run, on_restored=partial(save_restored, options.save_images))
    evaluation = run(model, progress=_show_progress(options.model), name=options.model)
    for result in filter(None, (evaluation, against)):
        for image, reason in result.failed.items():
            print(f"evaluate: {result.model}: {image} failed: {reason}", file=sys.stderr)
    if options.save_images and evaluation.images:
        save_comparison(options.save_images, evaluation, task, dataset, protocol)
    if options.csv:
        write_csv(options.csv, evaluation, against)
    gains = {}
    if against:
        gains = {column: paired_gain(evaluation, against, column) for column in evaluation.metrics}
    if options.json:
        print(json.dumps(describe(evaluation, against, gains)))
    else:
        print_scores(evaluation, protocol)
        if against:
            print_gains(evaluation, against, gains)
    return EXIT_FINE if evaluation.images else EXIT_FAILURE


def _compare_tiling(
    options: argparse.Namespace, task: Task, dataset: Dataset, protocol: Protocol, tiling: Tiling
) -> int:
    model = _create_trained_model(options.model, task, options.weights)
    progress = _show_progress(options.model)
    effects = compare_tiling(model, task, dataset, tiling, protocol, progress)
    if options.json:
        rows = {name: {**asdict(effect), "gain": effect.gain} for name, effect in effects.items()}
        print(json.dumps({"tiling": str(tiling), "per_image": rows}))
    else:
        print_tile_effects(effects, tiling)
    return EXIT_FINE


def _show_progress(model: str) -> Callable[[Iterable[Item]], Iterable[Item]]:
    console = Console(stderr=True)
    return partial(track, description=model, console=console, disable=not console.is_terminal)


def _create_trained_model(name: str, task: Task, weights: Path | None) -> nn.Module:
    model = create_for_task(name, task.conditions)
    if weights:
        load_weights(model, weights)
    elif next(model.parameters(), None) is not None:
        try:
            model = create_for_task(name, task.conditions, pretrained=True)
        except ValueError as error:
            raise ValueError(f"{error} (here: --weights FILE)") from error
    return model


if __name__ == "__main__":
    sys.exit(main())
