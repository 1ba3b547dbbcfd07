"""Measure named contenders side by side in one run; the first named is the baseline.

A ratio is a contender's time over the baseline's, below 1 is faster; lo and hi are its 99 %
interval, floor is how far from 1 the time of a second copy of the baseline strays.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from benchmarks.cli.arguments import DESCRIPTION, names, numbers, seconds, seed
from kgt.cli import Exit, Parser, add_device, add_json, positive, run, size


def _parser() -> Parser:
    parser = Parser(
        prog="python -m benchmarks.measure",
        description=__doc__,
        examples=("python -m benchmarks.measure attention --backends dense,native --k 64,128",),
    )
    commands = parser.add_subparsers(dest="command", required=True)

    common = Parser(add_help=False)
    common.add_argument(
        "--budget", type=seconds, default=10.0, help="seconds of rounds per comparison"
    )
    common.add_argument(
        "--seed", type=seed, default=0, help="of inputs, weights and the order of rounds"
    )
    common.add_argument(
        "--threads", type=positive, help="of torch (default: as many as torch takes)"
    )
    add_json(common, "one JSON list")

    window = Parser(add_help=False)
    window.add_argument(
        "--tokens", type=numbers, default="1024", help="N, the tokens of a window, a comma list"
    )
    window.add_argument("--k", type=numbers, default="128", help="keys per token, a comma list")
    window.add_argument("--windows", type=positive, default=4, help="windows of a call")
    window.add_argument(
        "--graph",
        default="photo",
        choices=["photo", "random"],
        help="of features of photographs, or uniform keys (to be built: normal features)",
    )

    heads = Parser(add_help=False)
    heads.add_argument("--heads", type=positive, default=6, help="heads of attention")
    heads.add_argument("--head-dim", type=positive, default=30, help="channels of a head")
    heads.add_argument("--bias", action="store_true", help="with a position-bias table")

    attention = commands.add_parser(
        "attention",
        parents=[common, window, heads],
        help="attention backends on one problem",
        examples=(
            "python -m benchmarks.measure attention --backends dense,native --k 64,128",
            "python -m benchmarks.measure attention --backends sdpa,triton --device cuda \\\n"
            "    --dtype bfloat16 --mode backward",
        ),
    )
    attention.add_argument(
        "--backends",
        type=names,
        required=True,
        help="a comma list of backends, or dense (no graph)",
    )
    attention.add_argument(
        "--dtype",
        default="float32",
        choices=["float32", "bfloat16", "float64"],
        help="element type of queries, keys and values",
    )
    attention.add_argument(
        "--mode",
        default="forward",
        choices=["forward", "backward"],
        help="backward is forward and backward",
    )
    add_device(attention, default="cpu")
    attention.add_argument(
        "--layers",
        type=positive,
        help="layers of a stage (default: 6); what a backend derives from the graph is paid once",
    )

    graph = commands.add_parser(
        "graph",
        parents=[common, window],
        help="building the graph",
        examples=("python -m benchmarks.measure graph --tokens 256,1024 --k 128",),
    )
    graph.add_argument("--builders", type=names, help="a comma list; default: all")
    graph.add_argument("--channels", type=positive, default=180, help="C, the channels of a token")
    graph.add_argument(
        "--structure",
        action="store_true",
        help="print hubs, unused nodes and shared keys of the graphs; time nothing",
    )

    commands.add_parser(
        "roofline",
        parents=[common, window, heads],
        help="native attention beside the least time that this processor allows",
        description="graph_ms: both products over the pairs of the graph at the peak of a large "
        "matrix product; union_ms: over the unions of the keys of 16 queries, as native multiplies "
        "them unless it gathers; memory_ms: inputs, graph and output at the bandwidth of a copy. "
        "Forward, float32.",
        examples=("python -m benchmarks.measure roofline --tokens 1024 --k 64,128,512",),
    )

    model = commands.add_parser(
        "model",
        parents=[common],
        help="whole networks",
        examples=(
            "python -m benchmarks.measure model --models swinir-m-x4,kgt-s-x4:k=128 --input 96x96",
        ),
    )
    _add_models(model, input_size="96x96")
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
        "--batch", type=positive, default=1, help="images of a batch; dat-x4 trains on two or more"
    )
    model.add_argument(
        "--runtimes",
        type=names,
        default="eager",
        help="a comma list of eager, compiled, onnxruntime: each model by each of them",
    )
    add_device(model, default="cpu")
    model.add_argument(
        "--memory", action="store_true", help="peak memory, too, each in a fresh process"
    )

    cost = commands.add_parser(
        "cost",
        help="parameters and FLOPs of networks and their parts, counted in up to three ways",
        description="FLOPs count two for a multiply-add (MAC) of matrix products and convolutions.",
        examples=("python -m benchmarks.measure cost --models kgt-s-x4,swinir-m-x4",),
    )
    _add_models(cost, input_size="64x64")
    add_json(cost, "one JSON list")

    restore = commands.add_parser(
        "restore",
        help="a large photograph, whole and in tiles under a byte budget",
        description="Peak memory is read from outside the restoring process.",
        examples=("python -m benchmarks.measure restore --models kgt-tiny-x4 --output 2160x3840",),
    )
    _add_models(restore)
    restore.add_argument(
        "--output", type=size, default="2160x3840", help="HEIGHTxWIDTH of the result in pixels"
    )
    restore.add_argument(
        "--byte-budget",
        type=positive,
        default=2048,
        metavar="MIB",
        help="memory that tiles may take",
    )
    restore.add_argument("--no-whole", action="store_true", help="in tiles only")
    restore.add_argument("--timeout", type=positive, default=900, help="seconds of a restoration")
    restore.add_argument("--seed", type=seed, default=0, help="of the weights")
    add_json(restore, "one JSON list")

    kernels = commands.add_parser(
        "kernels",
        help="compile the Triton kernels for GPUs, without one, and compare with blessed values",
        examples=("python -m benchmarks.measure kernels",),
    )
    kernels.add_argument("--bless", metavar="REASON", help="make today's values the blessed ones")
    add_json(kernels)
    return parser


def _add_models(parser: argparse.ArgumentParser, input_size: str | None = None) -> None:
    parser.add_argument(
        "--models", type=names, required=True, help=f"a comma list; each is {DESCRIPTION}"
    )
    if input_size:
        parser.add_argument("--input", type=size, default=input_size, help="HEIGHTxWIDTH in pixels")


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
