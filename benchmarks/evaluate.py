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
from statistics import fmean

from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from benchmarks.models import create_any_model, load_weights
from benchmarks.quality import (
    Evaluation,
    Protocol,
    Task,
    TileEffect,
    Tiling,
    compare_tiling,
    evaluate,
    get_protocol,
    get_task,
    list_datasets,
    list_protocols,
    list_tasks,
    load_dataset,
)
from kgt.inference import BYTE_BUDGET, OVERLAP

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
        tiling = _read_tiling(options)
        if options.compare_tiling:
            effects = compare_tiling(model, task, dataset, tiling, protocol, progress)
            _print_effects(effects, tiling, options.json)
            return EXIT_FINE
        evaluation = evaluate(
            model, task, dataset, protocol, progress, name=options.model, tiling=tiling
        )
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


def _print_effects(effects: dict[str, TileEffect], tiling: Tiling, as_json: bool) -> None:
    """What tiles change, image by image and on average."""
    if as_json:
        rows = {name: {**asdict(effect), "gain": effect.gain} for name, effect in effects.items()}
        print(json.dumps({"tiling": str(tiling), "per_image": rows}))
        return
    table = Table("image", "tile", "8-bit steps", "PSNR whole", "PSNR tiled", "dPSNR")
    for name, effect in effects.items():
        scores = (effect.psnr_whole, effect.psnr_tiled, effect.gain)
        tile = "whole" if effect.tile is None else str(effect.tile)
        table.add_row(name, tile, str(effect.max_steps), *(f"{score:.4f}" for score in scores))
    table.add_section()
    means = (
        fmean(getattr(effect, name) for effect in effects.values())
        for name in ("psnr_whole", "psnr_tiled", "gain")
    )
    steps = max(effect.max_steps for effect in effects.values())
    table.add_row(f"{len(effects)} images", "", str(steps), *(f"{mean:.4f}" for mean in means))
    console = Console(highlight=False)
    console.print(f"whole against {tiling}")
    console.print(table)


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
        f"{evaluation.task}, inputs: {evaluation.degradation}, restored: {evaluation.tiling}"
    )
    console.print(table)
    console.print(protocol.text, markup=False)


def _format_score(score: float | str | None) -> str:
    return f"{score:.4f}" if isinstance(score, float) else str(score or "-")


if __name__ == "__main__":
    sys.exit(main())
