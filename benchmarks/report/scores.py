"""Scores of evaluations, for people and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.quality import Evaluation, Gain, Protocol, TileEffect, Tiling


def print_scores(evaluation: Evaluation, protocol: Protocol) -> None:
    """A table of scores by image, and the rules they were made by."""
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
    for column, reason in evaluation.unavailable.items():
        console.print(f"{column}: {reason}", markup=False, soft_wrap=True)
    if evaluation.failed:
        console.print(f"{len(evaluation.failed)} images failed and are in no mean")
    console.print(protocol.text, markup=False)


def print_comparison(
    evaluation: Evaluation, against: Evaluation, gains: Mapping[str, Gain | None]
) -> None:
    """Mean differences of two models over the images, with intervals and counts of wins."""
    print(f"{evaluation.model} less {against.model}, mean over images with a 99 % interval:")
    for column, gain in gains.items():
        if gain is None:
            print(f"  {column.upper()}: no image has a finite difference")
            continue
        print(
            f"  {column.upper()}: {gain.describe(4)} over {len(gain.differences)} images, "
            f"better on {gain.wins}, worse on {gain.losses}"
        )


def print_tile_effects(effects: Mapping[str, TileEffect], tiling: Tiling) -> None:
    """What tiles change, image by image and on average."""
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


def write_csv(path: Path, evaluation: Evaluation, against: Evaluation | None) -> None:
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
