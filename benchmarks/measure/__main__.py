"""Measure named contenders side by side in one run; the first named is the baseline.

A ratio is a contender's time over the baseline's, below 1 is faster; lo and hi are its 99 %
interval, floor is how far from 1 the baseline's own A/A twin reaches.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from rich.console import Console

from benchmarks.cli.terminal import print_table
from benchmarks.measure.attention import WrongOutputError
from benchmarks.measure.builders import BUILDERS
from benchmarks.measure.commands import COMMANDS
from benchmarks.measure.kernels import (
    TARGETS,
    bless,
    judge_usage,
    load_blessed,
    measure_usage,
)
from benchmarks.measure.memory import pin_allocator
from benchmarks.measure.problems import CHANNELS, LAYERS
from benchmarks.measure.roofline import estimate_kernels
from benchmarks.records.environment import capture_environment

FINE, FELL_SHORT, WRONG_USE, FAILURE = 0, 1, 2, 3
_console = Console(stderr=True, highlight=False, soft_wrap=True)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _numbers(text: str) -> list[int]:
    return [_positive(part.strip()) for part in text.split(",")]


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    try:
        return _positive(height), _positive(width)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not two numbers of pixels, e.g. 96x96"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--budget", type=float, default=10.0, help="seconds per comparison")
    common.add_argument("--seed", type=int, default=0)
    common.add_argument("--threads", type=_positive, help="torch's intra-op threads")
    common.add_argument("--json", action="store_true", help="print one JSON list")

    window = argparse.ArgumentParser(add_help=False)
    window.add_argument("--tokens", type=_numbers, default=[1024], help="N, a comma list")
    window.add_argument("--k", type=_numbers, default=[128], help="keys per token, a comma list")
    window.add_argument("--windows", type=_positive, default=4)
    window.add_argument(
        "--graph",
        default="photo",
        choices=["photo", "random"],
        help="of features of photographs, or uniform keys (to be built: normal features)",
    )

    attention = commands.add_parser(
        "attention", parents=[common, window], help="attention backends on one problem"
    )
    attention.add_argument(
        "--backends", type=_names, required=True, help="backends, or dense (no graph)"
    )
    attention.add_argument("--heads", type=_positive, default=6)
    attention.add_argument("--head-dim", type=_positive, default=30)
    attention.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float64"])
    attention.add_argument(
        "--mode",
        default="forward",
        choices=["forward", "backward"],
        help="backward is forward and backward",
    )
    attention.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    attention.add_argument("--bias", action="store_true", help="with a position-bias table")
    attention.add_argument(
        "--layers",
        type=_positive,
        default=LAYERS,
        help="layers of a stage; what a backend derives from the graph is paid once for all",
    )

    graph = commands.add_parser("graph", parents=[common, window], help="building the graph")
    graph.add_argument("--builders", type=_names, default=[*BUILDERS], help=str([*BUILDERS]))
    graph.add_argument("--channels", type=_positive, default=CHANNELS, help="C of the tokens")
    graph.add_argument(
        "--structure",
        action="store_true",
        help="print hubs, unused nodes and shared keys of the graphs; time nothing",
    )

    model = commands.add_parser("model", parents=[common], help="whole networks")
    model.add_argument(
        "--models",
        type=_names,
        required=True,
        help="names, with fields where wanted: kgt-s-x4:k=128:backend=torch-mask,spandrel:hat-x4",
    )
    model.add_argument("--input", type=_size, default=(96, 96), help="height x width, e.g. 96x96")
    model.add_argument(
        "--dtype", default="float32", choices=["float32", "bfloat16"], help="bfloat16 by autocast"
    )
    model.add_argument(
        "--mode",
        default="forward",
        choices=["forward", "train-step"],
        help="train-step is L1 loss, backward pass and AdamW step on a fixed batch",
    )
    model.add_argument(
        "--batch", type=_positive, default=1, help="images; dat-x4 trains on two or more"
    )
    model.add_argument(
        "--memory", action="store_true", help="peak memory, too, each in a fresh process"
    )

    cost = commands.add_parser(
        "cost",
        help="parameters and FLOPs of networks and their parts, counted in up to three ways",
        description="FLOPs count two for a multiply-add (MAC) of matrix products and convolutions.",
    )
    cost.add_argument("--models", type=_names, required=True, help="as of the command model")
    cost.add_argument("--input", type=_size, default=(64, 64), help="height x width, e.g. 64x64")
    cost.add_argument("--json", action="store_true", help="print one JSON list")

    restore = commands.add_parser(
        "restore",
        help="a large photograph, whole and in tiles under a byte budget",
        description="Peak memory is read from outside the restoring process.",
    )
    restore.add_argument("--models", type=_names, required=True, help="as of the command model")
    restore.add_argument(
        "--output", type=_size, default=(3840, 2160), help="width x height, e.g. 3840x2160"
    )
    restore.add_argument("--byte-budget", type=_positive, default=2048, metavar="MIB")
    restore.add_argument("--no-whole", action="store_true", help="in tiles only")
    restore.add_argument("--timeout", type=_positive, default=900, help="seconds of a restoration")
    restore.add_argument("--seed", type=int, default=0, help="of the weights")
    restore.add_argument("--json", action="store_true", help="print one JSON list")

    kernels = commands.add_parser(
        "kernels",
        help="compile the Triton kernels for GPUs, without one, and compare with blessed values",
    )
    kernels.add_argument("--bless", metavar="REASON", help="make today's values the blessed ones")
    kernels.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    pin_allocator(reuse=True)
    if getattr(options, "threads", None):
        torch.set_num_threads(options.threads)
    try:
        if options.command == "kernels":
            return _check_kernels(options)
        rows = list(COMMANDS[options.command](options))
    except ValueError as error:
        _console.print(f"measure: {error}", markup=False)
        return WRONG_USE
    except (WrongOutputError, RuntimeError, KeyboardInterrupt) as error:
        _console.print(f"measure: {type(error).__name__}: {error}", markup=False)
        return FAILURE
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        _print_rows(rows)
    return FINE if all(row.get("agrees", True) for row in rows) else FELL_SHORT


def _check_kernels(options: argparse.Namespace) -> int:
    if importlib.util.find_spec("triton") is None:
        raise ValueError("kernels needs the package triton, which is not installed")
    if options.bless is not None and not options.bless.strip():
        raise ValueError("--bless needs a reason, which is kept beside the values")
    with _console.status("compiling"):
        usage = measure_usage(TARGETS)
    if options.bless:
        bless(usage, options.bless)
    blessed = load_blessed()
    rows = judge_usage(usage, blessed)
    note = f"blessed with triton {blessed.triton}: {blessed.reason}"
    if blessed.triton != version("triton"):
        note += f"; this is triton {version('triton')}, so only spills are judged"
    estimates = list(estimate_kernels())
    if options.json:
        print(json.dumps({"note": note, "kernels": rows, "estimates": estimates}, indent=1))
    else:
        _print_rows(rows)
        _print_rows(estimates)
        _console.print(note, markup=False)
    return FELL_SHORT if any(row["failed"] for row in rows) else FINE


def _print_rows(rows: list[dict[str, Any]]) -> None:
    print_table(
        [*rows[0]],
        [[*row.values()] for row in rows],
        numbers=[name for name, value in rows[0].items() if not isinstance(value, str)],
        caption=capture_environment().describe(),
    )


if __name__ == "__main__":
    sys.exit(main())
