"""Scores of evaluations, for people and as CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.cli.escaping import escape_csv
from benchmarks.cli.terminal import print_table
from benchmarks.data.manifest import MANIFEST
from benchmarks.quality import Evaluation, Gain, TileEffect, Tiling
from benchmarks.quality.golden import Golden, GoldenFinding
from benchmarks.tasks import Protocol
from kgt.files import write_atomically


def print_scores(evaluation: Evaluation, protocol: Protocol) -> None:
    """A table of scores by image, and the rules they were made by."""
    print(
        f"{evaluation.contender} on {evaluation.dataset} ({evaluation.coverage} images), "
        f"{evaluation.task}, inputs: {evaluation.degradation}, restored: {evaluation.tiling}"
    )
    columns = [column.upper() for column in evaluation.metrics]
    rows = [(name, *map(_format_score, s.values())) for name, s in evaluation.per_image.items()]
    total = (f"mean of {evaluation.images}", *map(_format_score, evaluation.metrics.values()))
    print_table(["image", *columns], rows, numbers=columns, total=total)
    for column, reason in evaluation.unavailable.items():
        print(f"{column.upper()} is {reason}")
    if evaluation.failed:
        print(f"{len(evaluation.failed)} images failed and are in no mean")
    print(protocol.text)


def print_comparison(
    evaluation: Evaluation, against: Evaluation, gains: Mapping[str, Gain | None]
) -> None:
    """Mean differences of two models over the images, with intervals and counts of wins."""
    print(
        f"{evaluation.contender} less {against.contender}, mean over images with a 99 % interval:"
    )
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
    scores = [(e.psnr_whole, e.psnr_tiled, e.gain) for e in effects.values()]
    rows = [
        (name, effect.tile or "whole", effect.max_steps, *map(_format_score, own))
        for (name, effect), own in zip(effects.items(), scores, strict=True)
    ]
    steps = max(effect.max_steps for effect in effects.values())
    means = (_format_score(fmean(column)) for column in zip(*scores, strict=True))
    print(f"whole against {tiling}")
    numbers = ("8-bit steps", "PSNR whole", "PSNR tiled", "dPSNR")
    total = (f"{len(effects)} images", "", steps, *means)
    print_table(("image", "tile", *numbers), rows, numbers=numbers, total=total)


def print_golden(findings: Sequence[GoldenFinding]) -> None:
    """Published values beside the measured ones, and why some could not be measured."""
    rows = []
    for finding in findings:
        golden, measured, difference = finding.golden, None, None
        if finding.measured is not None:
            measured = f"{finding.measured:.4f}"
            difference = f"{finding.measured - golden.value:+.4f}"
        what = (golden.task, _name_set(golden), golden.protocol, golden.column, golden.source)
        rows.append((*what, measured, f"{golden.value:.4f}", difference, finding.verdict))
    numbers = ("measured", "published", "difference")
    headings = ("task", "set", "protocol", "column", "source", *numbers, "verdict")
    print_table(headings, rows, numbers=numbers)
    reasons = dict.fromkeys(
        f"{_name_set(finding.golden)}: {finding.reason}" for finding in findings if finding.reason
    )
    for reason in reasons:
        print(reason)
    verdicts = Counter(finding.verdict for finding in findings)
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()))


def _name_set(golden: Golden) -> str:
    published = MANIFEST[golden.dataset]["test"].count
    part = "" if golden.images == published else f" ({golden.images} of {published})"
    return golden.dataset + part


def write_csv(path: Path, evaluation: Evaluation, against: Evaluation | None) -> None:
    """One row per image: the scores of the model, those of its rival, and why it failed."""
    runs = [("", evaluation)] + ([(f"{against.contender}:", against)] if against else [])
    header = [f"{prefix}{column}" for prefix, run in runs for column in (*run.metrics, "failed")]
    names = sorted({name for _, run in runs for name in (*run.per_image, *run.failed)})
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(escape_csv, ["image", *header]))
    for name in names:
        row: list[Any] = [name]
        for _, run in runs:
            scores = run.per_image.get(name, {})
            row += [scores.get(column, "") for column in run.metrics]
            row.append(run.failed.get(name, ""))
        writer.writerow(map(escape_csv, row))
    write_atomically(path, stream.getvalue())


def _format_score(score: float | str | None) -> str:
    return f"{score:.4f}" if isinstance(score, float) else str(score or "-")
