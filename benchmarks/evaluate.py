"""Evaluate one model on one data set, or two against each other, and print the scores.

Exit codes: 0 when an image was scored, 2 on wrong use or missing data, 3 on failure, such as that
of every image, or with --strict that of any.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.data.datasets import Item, list_datasets, load_dataset
from benchmarks.models import create_for_task, create_from_checkpoint, load_weights
from benchmarks.quality import (
    Evaluation,
    Gain,
    ImageFailed,
    Tiling,
    compare_tiling,
    evaluate,
    paired_gain,
)
from benchmarks.quality.gallery import save_comparison, save_restored
from benchmarks.report.scores import (
    print_comparison,
    print_scores,
    print_tile_effects,
    write_csv,
)
from benchmarks.tasks import Task, get_protocol, get_task, list_protocols, list_tasks
from kgt.contract import Restorer
from kgt.tiles.inference import BYTE_BUDGET, OVERLAP

EXIT_FINE, EXIT_WRONG_USE, EXIT_FAILURE = 0, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _build_parser().parse_args(arguments)
    try:
        return _run(options)
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
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--task", required=True, help=", ".join(list_tasks()))
    parser.add_argument("--dataset", required=True, help=", ".join(list_datasets()))
    parser.add_argument("--model", help="a name of kgt or baselines list_models()")
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


def _run(options: argparse.Namespace) -> int:
    task = get_task(options.task)
    dataset = load_dataset(options.dataset)
    protocol = get_protocol(options.protocol) if options.protocol else task.default_protocol
    tiling = _read_tiling(options)
    model = _create_model(options.model, options.checkpoint, task)
    name = options.model or options.checkpoint.stem
    if options.compare_tiling:
        effects = compare_tiling(model, task, dataset, tiling, protocol, _track(name))
        if options.json:
            rows = {
                image: {**asdict(effect), "gain": effect.gain} for image, effect in effects.items()
            }
            print(json.dumps({"tiling": str(tiling), "per_image": rows}))
        else:
            print_tile_effects(effects, tiling)
        return EXIT_FINE

    def score(model: Restorer, name: str, **callbacks: Any) -> Evaluation:
        result = evaluate(
            model,
            task,
            dataset,
            protocol,
            _track(name),
            name=name,
            strict=options.strict,
            tiling=tiling,
            **callbacks,
        )
        for image, reason in result.failed.items():
            print(f"evaluate: {name}: {image} failed: {reason}", file=sys.stderr)
        return result

    save = {"on_restored": partial(save_restored, options.save_images)}
    evaluation = score(model, name, **(save if options.save_images else {}))
    against = None
    if options.against:
        rival = _create_model(options.against, options.against_checkpoint, task)
        against = score(rival, options.against)
    if options.save_images and evaluation.images:
        save_comparison(options.save_images, evaluation, task, dataset, protocol)
    if options.csv:
        write_csv(options.csv, evaluation, against)
    gains: dict[str, Gain | None] = {}
    if against:
        gains = {column: paired_gain(evaluation, against, column) for column in evaluation.metrics}
    if options.json:
        print(json.dumps(_as_json(evaluation, against, gains)))
    else:
        print_scores(evaluation, protocol)
        if against:
            print_comparison(evaluation, against, gains)
    return EXIT_FINE if evaluation.images else EXIT_FAILURE


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


def _create_model(name: str | None, checkpoint: Path | None, task: Task) -> Restorer:
    if name is None:
        if checkpoint is None:
            raise ValueError("name a network: --model NAME, --checkpoint FILE, or both")
        return create_from_checkpoint(checkpoint)
    if checkpoint is None:
        try:
            return create_for_task(name, task.conditions, pretrained=True)
        except ValueError as error:
            raise ValueError(f"{error} (here: --checkpoint FILE)") from error
    model = create_for_task(name, task.conditions)
    load_weights(model, checkpoint)
    return model


def _track(name: str) -> Callable[[Iterable[Item]], Iterable[Item]]:
    """A progress bar on a terminal."""
    messages = Console(stderr=True)
    return partial(track, description=name, console=messages, disable=not messages.is_terminal)


def _as_json(
    evaluation: Evaluation, against: Evaluation | None, gains: dict[str, Gain | None]
) -> dict[str, Any]:
    document = asdict(evaluation)
    if against:
        document["against"] = asdict(against)
        document["gain"] = {column: gain and asdict(gain) for column, gain in gains.items()}
    return document


if __name__ == "__main__":
    sys.exit(main())
