"""Train one model by a recipe; an interrupted training goes on where its checkpoint is.

Several processes share each batch and the validation under torchrun:
`torchrun --nproc-per-node 2 -m benchmarks.train --model M --recipe R`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.training import (
    Listener,
    Recipe,
    TrainingDiverged,
    TrainingInterrupted,
    TrainingResult,
    ValidationPoint,
    list_recipes,
    load_recipe,
    run_folder,
    train,
)
from benchmarks.training.cards import ship
from benchmarks.training.processes import is_first_process

EXIT_FINE, EXIT_WRONG_USE, EXIT_FAILURE = 0, 2, 3

_LINE_EVERY_S = 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 when the model is trained, 2 on wrong use or missing data, 3 on failure or interruption.
    """
    options = _build_parser().parse_args(arguments)
    try:
        recipe = load_recipe(options.recipe)
        changes = {"steps": options.steps, "seed": options.seed}
        recipe = recipe.replace(**{k: v for k, v in changes.items() if v is not None})
        with _show_progress(recipe, Console(stderr=True)) as listener:
            result = train(
                options.model,
                recipe,
                out_dir=options.out,
                listener=listener,
                fresh=options.fresh,
                stale=options.stale,
                workers=options.workers,
            )
        if not is_first_process():
            return EXIT_FINE
        if options.ship:
            console = Console(stderr=True)
            ship(options.model, recipe, result, lambda what: console.print(f"scoring {what}"))
    except ValueError as error:
        print(f"train: {error}", file=sys.stderr)
        return EXIT_WRONG_USE
    except (TrainingDiverged, TrainingInterrupted, OSError) as error:
        print(f"train: {error}", file=sys.stderr)
        return EXIT_FAILURE
    except KeyboardInterrupt:
        folder = run_folder(options.model, recipe, options.out)
        print(f"train: interrupted; what {folder} holds is kept", file=sys.stderr)
        return EXIT_FAILURE
    except Exception:
        traceback.print_exc()
        return EXIT_FAILURE
    summary = _summarize(options.model, recipe, result)
    if options.json:
        curves = {
            "losses": [point._asdict() for point in result.losses],
            "validations": [point._asdict() for point in result.validations],
        }
        print(json.dumps({**summary, **curves}))
    else:
        for name, value in summary.items():
            print(f"{name:<15} {value}")
    return EXIT_FINE


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        required=True,
        help="a name of kgt or baselines list_models(), or NAME:field=value:field=value",
    )
    parser.add_argument(
        "--recipe", required=True, help=f"{', '.join(list_recipes())}, or the path of a YAML file"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results/checkpoints"),
        metavar="FOLDER",
        help="where the folder MODEL--RECIPE--SEED of checkpoint, weights, log and curve goes "
        "(default: %(default)s)",
    )
    parser.add_argument("--fresh", action="store_true", help="discard an existing checkpoint")
    parser.add_argument(
        "--stale",
        choices=["refuse", "resume", "restart"],
        default="refuse",
        help="what to do with a checkpoint from before a change of code or data "
        "(default: %(default)s)",
    )
    parser.add_argument("--steps", type=int, help="steps instead of the recipe's own number")
    parser.add_argument("--seed", type=int, help="seed instead of the recipe's own")
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes that make batches ahead; the batches are the same (default: %(default)s)",
    )
    parser.add_argument(
        "--ship",
        action="store_true",
        help="put weights, log, curve and a model card with scores into the package; needs the "
        "test sets",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


@contextmanager
def _show_progress(recipe: Recipe, console: Console) -> Iterator[Listener]:
    """A progress bar on a terminal, a line now and then elsewhere."""
    if not console.is_terminal:
        yield _LinePrinter(recipe).listener
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TextColumn("{task.fields[psnr]}"),
        TextColumn("{task.fields[images_per_s]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(
            recipe.name, total=recipe.steps, loss=float("nan"), psnr="", images_per_s=""
        )

        def on_step(step: int, loss: float) -> None:
            speed = progress.tasks[bar].speed
            rate = f"{speed * recipe.batch:.1f} patches/s" if speed else ""
            progress.update(bar, completed=step, loss=loss, images_per_s=rate)

        def on_validation(point: ValidationPoint) -> None:
            progress.update(bar, psnr=_describe_psnr(point))

        yield Listener(on_step, on_validation)


class _LinePrinter:
    """Prints where a training is every half a minute, and each validation."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.first: tuple[int, float] | None = None
        self.printed_at = time.monotonic()
        self.listener = Listener(self._on_step, self._on_validation)

    def _on_step(self, step: int, loss: float) -> None:
        now = time.monotonic()
        self.first = self.first or (step, now)
        if now - self.printed_at < _LINE_EVERY_S and step < self.recipe.steps:
            return
        self.printed_at = now
        done, passed_s = step - self.first[0], now - self.first[1]
        pace = ""
        if done:
            left_s = passed_s / done * (self.recipe.steps - step)
            pace = f", {done * self.recipe.batch / passed_s:.1f} patches/s, {left_s:.0f} s left"
        print(f"step {step} of {self.recipe.steps}, loss {loss:.4f}{pace}", file=sys.stderr)

    def _on_validation(self, point: ValidationPoint) -> None:
        print(f"step {point.step}: held out {_describe_psnr(point)}", file=sys.stderr)


def _describe_psnr(point: ValidationPoint) -> str:
    return ", ".join(f"{task} {psnr:.2f} dB" for task, psnr in point.psnr.items())


def _summarize(model: str, recipe: Recipe, result: TrainingResult) -> dict[str, str | int | float]:
    return {
        "model": model,
        "recipe": f"{recipe.name}@{recipe.version}",
        "recipe_digest": recipe.digest,
        "steps": result.steps,
        "final_loss": result.losses[-1].loss,
        "wall_s": round(result.wall_s, 1),
        "weights": str(result.weights),
        "weights_digest": result.weights_digest,
        "data_digest": result.data_digest,
    }


if __name__ == "__main__":
    sys.exit(main())
