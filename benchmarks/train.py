"""Train one model by a recipe; an interrupted training goes on where its checkpoint is."""

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

from benchmarks.training import Recipe, TrainingResult, list_recipes, load_recipe, train
from benchmarks.training.loop import OnStep, checkpoint_path

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
        if options.steps is not None:
            recipe = recipe.with_steps(options.steps)
        with _show_progress(recipe, Console(stderr=True)) as on_step:
            result = train(
                options.model, recipe, out_dir=options.out, on_step=on_step, fresh=options.fresh
            )
    except KeyboardInterrupt:
        checkpoint = checkpoint_path(options.model, options.recipe, options.out)
        kept = f"{checkpoint} is kept" if checkpoint.exists() else "there is no checkpoint yet"
        print(
            f"train: interrupted; {kept}; the same command without --fresh resumes",
            file=sys.stderr,
        )
        return EXIT_FAILURE
    except ValueError as error:
        print(f"train: {error}", file=sys.stderr)
        return EXIT_WRONG_USE
    except Exception:
        traceback.print_exc()
        return EXIT_FAILURE
    summary = _summarize(options.model, recipe, result)
    if options.json:
        losses = [point._asdict() for point in result.losses]
        print(json.dumps({**summary, "losses": losses}))
    else:
        for name, value in summary.items():
            print(f"{name:<15} {value}")
    return EXIT_FINE


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__)
    parser.add_argument("--model", required=True, help="a name of kgt or baselines list_models()")
    parser.add_argument("--recipe", required=True, help=", ".join(list_recipes()))
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results/checkpoints"),
        metavar="FOLDER",
        help="folder of checkpoints and weights (default: %(default)s)",
    )
    parser.add_argument("--fresh", action="store_true", help="discard an existing checkpoint")
    parser.add_argument("--steps", type=int, help="steps instead of the recipe's own number")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


@contextmanager
def _show_progress(recipe: Recipe, console: Console) -> Iterator[OnStep]:
    """A progress bar on a terminal, a line now and then elsewhere."""
    if not console.is_terminal:
        yield _make_line_printer(recipe.steps)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(recipe.name, total=recipe.steps, loss=float("nan"))
        yield lambda step, loss: progress.update(bar, completed=step, loss=loss)


def _make_line_printer(steps: int) -> OnStep:
    first: tuple[int, float] | None = None
    printed_at = time.monotonic()

    def print_line(step: int, loss: float) -> None:
        nonlocal first, printed_at
        now = time.monotonic()
        first = first or (step, now)
        if now - printed_at < _LINE_EVERY_S and step < steps:
            return
        printed_at = now
        left_s = (now - first[1]) / max(1, step - first[0]) * (steps - step)
        print(f"step {step} of {steps}, loss {loss:.4f}, {left_s:.0f} s left", file=sys.stderr)

    return print_line


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
