"""Evaluate one model on one image set, or two against each other, and print the scores.

Exit codes: 0 when an image was scored, 2 on wrong use or missing data, 3 on failure, such as that
of every image, or with --strict that of any.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cli.arguments import DESCRIPTION
from kgt.cli import (
    Exit,
    Parser,
    add_device,
    add_json,
    choose_device,
    positive,
    run,
    say,
    show_progress,
)
from kgt.tiles import OVERLAP
from kgt.tiles.arguments import add_tiles

if TYPE_CHECKING:
    from benchmarks.data.datasets import Dataset, Item
    from benchmarks.quality import Tiling
    from benchmarks.tasks import Protocol, Task
    from kgt.contract import Restorer


def main(arguments: Sequence[str] | None = None) -> Exit:
    """Run the command line and return its exit code."""
    return run(lambda: _evaluate(_build_parser().parse_args(arguments)), "evaluate")


def _build_parser() -> Parser:
    from benchmarks.data.datasets import list_datasets
    from benchmarks.tasks import list_protocols, list_tasks

    parser = Parser(
        prog="python -m benchmarks.evaluate",
        description=__doc__,
        examples=(
            "python -m benchmarks.evaluate --task sr-x4 --dataset Set5 --model bicubic",
            "python -m benchmarks.evaluate --task deblur --input blurred --target sharp \\\n"
            "    --weights own.safetensors",
            "python -m benchmarks.evaluate --task denoise-color-s25 --dataset CBSD68 \\\n"
            "    --model kgt-tiny-denoise-color:k=32 --against swinir-tiny-denoise-color",
        ),
    )
    parser.add_argument("--task", required=True, help=", ".join(list_tasks()))
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--dataset", help=", ".join(list_datasets()))
    images.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="own images, degraded as the task says, or as a dataset.yaml in it describes them",
    )
    images.add_argument(
        "--input", type=Path, metavar="FOLDER", help="own degraded images, paired by name"
    )
    parser.add_argument(
        "--target", type=Path, metavar="FOLDER", help="what those of --input should become"
    )
    parser.add_argument("--model", help=DESCRIPTION)
    parser.add_argument(
        *("--weights", "--checkpoint"),
        type=Path,
        metavar="FILE",
        help="weights of --model; without it, of the network that the file tells",
    )
    parser.add_argument(
        "--against", metavar="MODEL", help="a second model, or a file, compared by image"
    )
    parser.add_argument(
        *("--against-weights", "--against-checkpoint"),
        type=Path,
        metavar="FILE",
        help="its weights",
    )
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
    add_device(parser, default="cpu")
    add_json(parser)
    add_tiles(parser, default="whole")
    parser.add_argument(
        "--overlap",
        type=positive,
        default=OVERLAP,
        metavar="N",
        help="pixels that tiles share",
    )
    parser.add_argument(
        "--compare-tiling", action="store_true", help="report whole images against tiles"
    )
    return parser


def _evaluate(options: argparse.Namespace) -> Exit:
    from benchmarks.data.survey import find_fault
    from benchmarks.quality import Tiling
    from benchmarks.tasks import get_protocol, get_task

    if options.compare_tiling and options.tile is None:
        raise ValueError("--compare-tiling compares whole images with tiles: add --tile")
    if options.against_weights and not options.against:
        raise ValueError("--against-weights are those of --against MODEL: add it")
    task = get_task(options.task)
    dataset = _find_images(options, task)
    protocol = get_protocol(options.protocol) if options.protocol else task.default_protocol
    tiling = Tiling(options.tile, options.overlap, options.byte_budget * 2**20)
    model = _create_model(options.model, options.weights, task, options.device)
    name = options.model or str(options.weights)
    if options.compare_tiling:
        code = _compare_tiling(model, name, task, dataset, protocol, tiling, options.json)
    else:
        code = _score(model, name, task, dataset, protocol, tiling, options)
    if fault := find_fault(dataset):
        say("evaluate", f"warning: {fault}")
    return code


def _find_images(options: argparse.Namespace, task: Task) -> Dataset:
    """The images that options name.

    Raises:
        ValueError: there are none, or own pairs do not fit.
    """
    from benchmarks.data.datasets import load_dataset, load_folder, pair_folders

    if (options.input is None) != (options.target is None):
        raise ValueError("--input and --target go together: degraded images and their clean ones")
    if options.input:
        dataset = pair_folders(options.input, options.target, task.name)
    elif options.images:
        dataset = load_folder(options.images)
    else:
        dataset = load_dataset(options.dataset)
    if dataset.split == "own" and dataset.pairs == task.name:
        dataset.check_pairs(task.scale)
    return dataset


def _compare_tiling(
    model: Restorer,
    name: str,
    task: Task,
    dataset: Dataset,
    protocol: Protocol,
    tiling: Tiling,
    as_json: bool,
) -> Exit:
    from benchmarks.quality import compare_tiling
    from benchmarks.report.scores import print_tile_effects

    effects = compare_tiling(model, task, dataset, tiling, protocol, partial(_track, name))
    if as_json:
        rows = {image: {**asdict(effect), "gain": effect.gain} for image, effect in effects.items()}
        print(json.dumps({"tiling": str(tiling), "per_image": rows}))
    else:
        print_tile_effects(effects, tiling)
    return Exit.FINE


def _score(
    model: Restorer,
    name: str,
    task: Task,
    dataset: Dataset,
    protocol: Protocol,
    tiling: Tiling,
    options: argparse.Namespace,
) -> Exit:
    from benchmarks.quality import Evaluation, evaluate, paired_gain
    from benchmarks.quality.gallery import save_comparison, save_restored
    from benchmarks.report.scores import print_comparison, print_scores, write_csv

    def score(model: Restorer, name: str, weights: Path | None, **callbacks: Any) -> Evaluation:
        progress = partial(_track, name)
        fixed = {"name": name, "strict": options.strict, "tiling": tiling}
        result = evaluate(model, task, dataset, protocol, progress, **fixed, **callbacks)
        result = replace(result, weights=str(weights) if weights else None)
        for image, reason in result.failed.items():
            say("evaluate", f"{result.contender}: {image} failed: {reason}")
        return result

    save = {"on_restored": partial(save_restored, options.save_images)}
    evaluation = score(model, name, options.weights, **(save if options.save_images else {}))
    against = None
    if options.against:
        rival = _create_model(options.against, options.against_weights, task, options.device)
        against = score(rival, options.against, options.against_weights)
    if options.save_images and evaluation.images:
        save_comparison(options.save_images, evaluation, task, dataset, protocol)
    if options.csv:
        write_csv(options.csv, evaluation, against)
    gains = {}
    if against:
        gains = {column: paired_gain(evaluation, against, column) for column in evaluation.metrics}
    if options.json:
        document = asdict(evaluation)
        if against:
            document["against"] = asdict(against)
            document["gain"] = {column: gain and asdict(gain) for column, gain in gains.items()}
        print(json.dumps(document))
    else:
        print_scores(evaluation, protocol)
        if against:
            print_comparison(evaluation, against, gains)
    return Exit.FINE if evaluation.images else Exit.FAILURE


def _create_model(name: str | None, weights: Path | None, task: Task, device: str) -> Restorer:
    from benchmarks.models import create_for_task

    if name is None and weights is None:
        raise ValueError("name a network: --model NAME, --weights FILE, or both")
    model = create_for_task(name or str(weights), task.conditions, pretrained=weights or True)
    model.to(choose_device(device))
    return model


def _track(name: str, images: Dataset) -> Iterator[Item]:
    with show_progress("evaluate", len(images)) as report:
        for done, image in enumerate(images):
            report(f"{name}: {image.name}", done)
            yield image


if __name__ == "__main__":
    sys.exit(main())
