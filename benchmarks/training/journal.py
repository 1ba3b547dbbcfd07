"""Files of a run folder besides checkpoint and weights: description, log and curve."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from matplotlib.figure import Figure

from benchmarks.cli.figures import render_svg
from benchmarks.training.recipes import Recipe
from benchmarks.training.state import TrainingState

LOG, CURVE, DESCRIPTION = "log.csv", "curve.svg", "run.json"


def describe_run(
    state: TrainingState, recipe: Recipe, environment: dict[str, Any], world: int
) -> bytes:
    """Everything that the training came from, as JSON."""
    content = {
        **state.identity,
        "parameters": sum(parameter.numel() for parameter in state.model.parameters()),
        "processes": world,
        "recipe": recipe.model_dump(mode="json"),
        "recipe_digest": recipe.digest,
        "environment": environment,
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def render_log(state: TrainingState, recipe: Recipe) -> bytes:
    """The loss curve and the validations as CSV; seconds are those spent in steps."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["step", "seconds", "loss", "lr", "k", *(f"psnr {t}" for t in recipe.tasks)])
    losses = {point.step: point for point in state.losses}
    seconds = dict(zip(losses, state.times, strict=True))
    psnr = {point.step: point.psnr for point in state.validations}
    for step in sorted({*losses, *psnr}):
        point, scores = losses.get(step), psnr.get(step, {})
        writer.writerow(
            [
                step,
                f"{seconds[step]:.1f}" if point else "",
                f"{point.loss:.6f}" if point else "",
                f"{point.lr:.3e}" if point else "",
                point.k if point and point.k is not None else "",
                *(f"{scores[task]:.3f}" if task in scores else "" for task in recipe.tasks),
            ]
        )
    return stream.getvalue().encode()


def plot_curve(state: TrainingState, recipe: Recipe) -> bytes:
    """Loss and PSNR of the held-out images over the steps, as SVG."""
    return render_svg(lambda: _draw_curve(state, recipe)).encode()


def _draw_curve(state: TrainingState, recipe: Recipe) -> Figure:
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axis = figure.add_subplot()
    axis.plot(
        [point.step for point in state.losses],
        [point.loss for point in state.losses],
        color="0.6",
        linewidth=0.8,
    )
    axis.set(xlabel="step", ylabel=f"training loss ({recipe.loss})", yscale="log")
    axis.set_title(f"{state.identity['model']}, recipe {recipe.name}@{recipe.version}")
    if state.validations:
        scores = axis.twinx()
        for task in state.validations[0].psnr:
            scores.plot(
                [point.step for point in state.validations],
                [point.psnr[task] for point in state.validations],
                marker=".",
                label=task,
            )
        scores.set_ylabel("PSNR of held-out images / dB")
        scores.legend(loc="center right", frameon=False)
    return figure
