"""Measure named contenders side by side in one run; the first named is the baseline.

A ratio is a contender's time over the baseline's, below 1 is faster; lo and hi are its 99 %
interval, floor is how far from 1 the baseline's own A/A twin reaches.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from benchmarks.cli.arguments import DESCRIPTION, names, numbers, size
from kgt.cli import Exit, add_device, add_json, positive, run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--budget", type=float, default=10.0, help="seconds per comparison")
    common.add_argument("--seed", type=int, default=0)
    common.add_argument("--threads", type=positive, help="torch's intra-op threads")
    add_json(common, "one JSON list")

    window = argparse.ArgumentParser(add_help=False)
    window.add_argument("--tokens", type=numbers, default=[1024], help="N, a comma list")
    window.add_argument("--k", type=numbers, default=[128], help="keys per token, a comma list")
    window.add_argument("--windows", type=positive, default=4)
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
        "--backends", type=names, required=True, help="backends, or dense (no graph)"
    )
    attention.add_argument("--heads", type=positive, default=6)
    attention.add_argument("--head-dim", type=positive, default=30)
    attention.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float64"])
    attention.add_argument(
        "--mode",
        default="forward",
        choices=["forward", "backward"],
        help="backward is forward and backward",
    )
    add_device(attention, default="cpu")
    attention.add_argument("--bias", action="store_true", help="with a position-bias table")
    attention.add_argument(
        "--layers",
        type=positive,
        help="layers of a stage (default: 6); what a backend derives from the graph is paid once",
    )

    graph = commands.add_parser("graph", parents=[common, window], help="building the graph")
    graph.add_argument("--builders", type=names, help="default: all")
    graph.add_argument("--channels", type=positive, default=180, help="C of the tokens")
    graph.add_argument(
        "--structure",
        action="store_true",
        help="print hubs, unused nodes and shared keys of the graphs; time nothing",
    )

    model = commands.add_parser("model", parents=[common], help="whole networks")
    _add_models(model, input_size=(96, 96))
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
        "--batch", type=positive, default=1, help="images; dat-x4 trains on two or more"
    )
    add_device(model, default="cpu")
    model.add_argument(
        "--memory", action="store_true", help="peak memory, too, each in a fresh process"
    )

    cost = commands.add_parser(
        "cost",
        help="parameters and FLOPs of networks and their parts, counted in up to three ways",
        description="FLOPs count two for a multiply-add (MAC) of matrix products and convolutions.",
    )
    _add_models(cost, input_size=(64, 64))
    add_json(cost, "one JSON list")

    restore = commands.add_parser(
        "restore",
        help="a large photograph, whole and in tiles under a byte budget",
        description="Peak memory is read from outside the restoring process.",
    )
    _add_models(restore)
    restore.add_argument(
        "--output", type=size, default=(2160, 3840), help="HEIGHTxWIDTH (default: 2160x3840)"
    )
    restore.add_argument("--byte-budget", type=positive, default=2048, metavar="MIB")
    restore.add_argument("--no-whole", action="store_true", help="in tiles only")
    restore.add_argument("--timeout", type=positive, default=900, help="seconds of a restoration")
    restore.add_argument("--seed", type=int, default=0, help="of the weights")
    add_json(restore, "one JSON list")

    kernels = commands.add_parser(
        "kernels",
        help="compile the Triton kernels for GPUs, without one, and compare with blessed values",
    )
    kernels.add_argument("--bless", metavar="REASON", help="make today's values the blessed ones")
    add_json(kernels)
    return parser


def _add_models(parser: argparse.ArgumentParser, input_size: tuple[int, int] | None = None) -> None:
    parser.add_argument(
        "--models", type=names, required=True, help=f"a comma list; each is {DESCRIPTION}"
    )
    if input_size:
        default = "x".join(map(str, input_size))
        parser.add_argument(
            "--input", type=size, default=input_size, help=f"HEIGHTxWIDTH (default: {default})"
        )


def main(arguments: Sequence[str] | None = None) -> Exit:
    """Run the command line and return its exit code."""
    return run(lambda: _measure(_parser().parse_args(arguments)), "measure")


def _measure(options: argparse.Namespace) -> Exit:
    from benchmarks.measure import commands

    if options.command == "kernels":
        return commands.check_kernels(options)
    rows = commands.measure(options)
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        commands.print_rows(rows)
    return Exit.FINE if all(row.get("agrees", True) for row in rows) else Exit.FELL_SHORT


if __name__ == "__main__":
    sys.exit(main())
