"""Evaluations as tables for people, and as rows and documents for programs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure.statistics import MIN_PAIRS
from benchmarks.quality.comparison import Gain
from benchmarks.quality.evaluation import Evaluation
from benchmarks.quality.protocols import Protocol
from benchmarks.quality.tile_effect import TileEffect
from benchmarks.quality.tiling import Tiling

Gains = Mapping[str, Gain | None]


def print_scores(evaluation: Evaluation, protocol: Protocol) -> None:
    """Print every image's scores, their means, what they cover, and the protocol."""
    table = Table()
    table.add_column("image")
    for column in evaluation.metrics:
        table.add_column(column.upper(), justify="right")
    for image, scores in evaluation.per_image.items():
        table.add_row(image, *(_format(scores.get(column)) for column in evaluation.metrics))
    table.add_section()
    table.add_row(f"mean of {evaluation.images}", *map(_format, evaluation.metrics.values()))
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


def print_gains(evaluation: Evaluation, against: Evaluation, gains: Gains) -> None:
    """Print what one model gains over the other, with intervals and counts."""
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


def print_tile_effects(effects: Mapping[str, TileEffect], tiling: Tiling) -> None:
    """Print what tiles change, image by image and on average."""
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


def describe(
    evaluation: Evaluation, against: Evaluation | None = None, gains: Gains | None = None
) -> dict[str, Any]:
    """An evaluation, and what it was compared with, as a JSON document."""
    document = asdict(evaluation)
    if against:
        document["against"] = asdict(against)
        document["gain"] = {column: gain and asdict(gain) for column, gain in (gains or {}).items()}
    return document


def write_csv(path: Path, evaluation: Evaluation, against: Evaluation | None = None) -> None:
    """One row per image: the scores of the model, those of its rival, and why either failed."""
    runs = [("", evaluation)] + ([(f"{against.model}:", against)] if against else [])
    names = sorted({name for _, run in runs for name in (*run.per_image, *run.failed)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["image"]
            + [f"{prefix}{column}" for prefix, run in runs for column in (*run.metrics, "failed")]
        )
        for name in names:
            row: list[Any] = [name]
            for _, run in runs:
                scores = run.per_image.get(name, {})
                row += [scores.get(column, "") for column in run.metrics]
                row.append(run.failed.get(name, ""))
            writer.writerow(row)


def _format(score: float | str | None) -> str:
    return f"{score:.4f}" if isinstance(score, float) else str(score or "-")
