"""Train one model by a recipe; an interrupted training goes on where its checkpoint is.

Several processes share each batch and the validation under torchrun:
`torchrun --nproc-per-node 2 -m benchmarks.train --model M --recipe R`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.arguments import DESCRIPTION, seed
from kgt.cli import Exit, Parser, add_device, add_json, run, say, show_progress

if TYPE_CHECKING:
    from benchmarks.training.checkpoints import ValidationPoint
    from benchmarks.training.loop import Listener, TrainingResult
    from benchmarks.training.recipes import Recipe


def main(arguments: Sequence[str] | None = None) -> Exit:
    """Run the command line.

    Returns:
        FINE when the model is trained, FAILURE where that failed or was interrupted.
    """
    return run(
        lambda: _train(_build_parser().parse_args(arguments)),
        "train",
        kept="the last checkpoint is kept, the same command resumes",
    )


def _build_parser() -> Parser:
    from benchmarks.training.recipes import list_recipes

    parser = Parser(
        prog="python -m benchmarks.train",
        description=__doc__,
        examples=(
            "python -m benchmarks.train --model kgt-tiny-x4 --recipe small-sr-x4 --steps 200",
            "python -m benchmarks.train --model swinir-tiny-x4 --recipe my-recipe.yaml --steps 500",
        ),
    )
    parser.add_argument("--model", required=True, help=DESCRIPTION)
    parser.add_argument(
        "--recipe", required=True, help=f"{', '.join(list_recipes())}, or the path of a YAML file"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results/checkpoints"),
        metavar="FOLDER",
        help="where the folder MODEL--RECIPE--SEED of checkpoint, weights, log and curve goes",
    )
    parser.add_argument("--fresh", action="store_true", help="discard an existing checkpoint")
    parser.add_argument(
        "--stale",
        choices=["refuse", "resume", "restart"],
        default="refuse",
        help="what to do with a checkpoint from before a change of code or data",
    )
    parser.add_argument("--steps", type=int, help="number of steps (default: the recipe's)")
    parser.add_argument(
        "--seed", type=seed, help="seed of weights, patches and k (default: the recipe's)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        choices=range(65),
        metavar="N",
        default=1,
        help="processes that make batches ahead; the batches are the same",
    )
    parser.add_argument(
        "--ship",
        action="store_true",
        help="put weights, log, curve and a model card with scores into the package; needs the "
        "test sets",
    )
    add_device(parser)
    add_json(parser)
    return parser


def _train(options: argparse.Namespace) -> Exit:
    from benchmarks.training.cards import ship
    from benchmarks.training.loop import train
    from benchmarks.training.processes import is_first_process
    from benchmarks.training.recipes import load_recipe

    recipe = load_recipe(options.recipe)
    changes = {"steps": options.steps, "seed": options.seed}
    recipe = recipe.replace(**{k: v for k, v in changes.items() if v is not None})
    with _follow(recipe) as listener:
        result = train(
            options.model,
            recipe,
            out_dir=options.out,
            listener=listener,
            fresh=options.fresh,
            stale=options.stale,
            workers=options.workers,
            device=options.device,
        )
    if not is_first_process():
        return Exit.FINE
    if options.ship:
        ship(options.model, recipe, result, lambda what: say("train", f"scoring {what}"))
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
    return Exit.FINE


@contextmanager
def _follow(recipe: Recipe) -> Iterator[Listener]:
    """Shows the steps with loss and pace, and prints each validation."""
    from benchmarks.training.loop import Listener

    started: tuple[int, float] | None = None

    def on_step(step: int, loss: float) -> None:
        nonlocal started
        now = time.monotonic()
        started = started or (step, now)
        pace = ""
        if step > started[0]:
            patches = (step - started[0]) * recipe.batch
            pace = f", {patches / (now - started[1]):.1f} patches/s"
        state = f"step {step} of {recipe.steps}, loss {loss:.4f}{pace}"
        report(state, step)
        if step == recipe.steps:
            say("train", state)

    def on_validation(point: ValidationPoint) -> None:
        scores = ", ".join(f"{task} {psnr:.2f} dB" for task, psnr in point.psnr.items())
        say("train", f"step {point.step}: held out {scores}")

    with show_progress("train", recipe.steps) as report:
        yield Listener(on_step, on_validation, lambda name: report(f"test images: {name}"))


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
