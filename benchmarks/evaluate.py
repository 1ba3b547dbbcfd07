"""Evaluate one model on one data set, or two against each other, and print the scores.

Exit codes: 0 when an image was scored, 2 on wrong use or missing data, 3 on failure, such as that
of every image, or with --strict that of any.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cli.arguments import DESCRIPTION
from kgt.cli import Exit, add_device, add_json, choose_device, run, say, show_progress
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


def _build_parser() -> argparse.ArgumentParser:
    from benchmarks.data.datasets import list_datasets
    from benchmarks.tasks import list_protocols, list_tasks

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--task", required=True, help=", ".join(list_tasks()))
    parser.add_argument("--dataset", required=True, help=", ".join(list_datasets()))
    parser.add_argument("--model", help=DESCRIPTION)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="weights of --model; without it, of any network that spandrel recognizes",
    )
    parser.add_argument(
        "--against", metavar="MODEL", help="a second model, or a file, compared by image"
    )
    parser.add_argument("--against-checkpoint", type=Path, metavar="FILE", help="its weights")
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
        "--overlap", type=int, default=OVERLAP, metavar="N", help="of tiles, in pixels"
    )
    parser.add_argument(
        "--compare-tiling", action="store_true", help="report whole images against tiles"
    )
    return parser


def _evaluate(options: argparse.Namespace) -> Exit:
    from benchmarks.data.datasets import load_dataset
    from benchmarks.quality import Tiling
    from benchmarks.tasks import get_protocol, get_task

    if options.compare_tiling and options.tile is None:
        raise ValueError("--compare-tiling compares whole images with tiles: add --tile")
    task = get_task(options.task)
    dataset = load_dataset(options.dataset)
    protocol = get_protocol(options.protocol) if options.protocol else task.default_protocol
    tiling = Tiling(options.tile, options.overlap, options.byte_budget * 2**20)
    model = _create_model(options.model, options.checkpoint, task, options.device)
    name = options.model or options.checkpoint.stem
    if options.compare_tiling:
        return _compare_tiling(model, name, task, dataset, protocol, tiling, options.json)
    return _score(model, name, task, dataset, protocol, tiling, options)


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

    def score(model: Restorer, name: str, **callbacks: Any) -> Evaluation:
        progress = partial(_track, name)
        fixed = {"name": name, "strict": options.strict, "tiling": tiling}
        result = evaluate(model, task, dataset, protocol, progress, **fixed, **callbacks)
        for image, reason in result.failed.items():
            say("evaluate", f"{name}: {image} failed: {reason}")
        return result

    save = {"on_restored": partial(save_restored, options.save_images)}
    evaluation = score(model, name, **(save if options.save_images else {}))
    against = None
    if options.against:
        rival = _create_model(options.against, options.against_checkpoint, task, options.device)
        against = score(rival, options.against)
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


def _create_model(name: str | None, checkpoint: Path | None, task: Task, device: str) -> Restorer:
    from benchmarks.models import create_for_task, create_from_checkpoint, load_weights

    if name is None:
        if checkpoint is None:
            raise ValueError("name a network: --model NAME, --checkpoint FILE, or both")
        model = create_from_checkpoint(checkpoint)
    elif checkpoint is None:
        try:
            model = create_for_task(name, task.conditions, pretrained=True)
        except ValueError as error:
            raise ValueError(f"{error} (here: --checkpoint FILE)") from error
    else:
        model = create_for_task(name, task.conditions)
        load_weights(model, checkpoint)
    model.to(choose_device(device))
    return model


def _track(name: str, images: Dataset) -> Iterator[Item]:
    with show_progress("evaluate", len(images)) as report:
        for done, image in enumerate(images):
            report(f"{name}: {image.name}", done)
            yield image


if __name__ == "__main__":
    sys.exit(main())
