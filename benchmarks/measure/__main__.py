"""Measure named contenders side by side in one run; the first named is the baseline.

A ratio is a contender's time over the baseline's, below 1 is faster; lo and hi are its 99 %
interval, floor is how far from 1 the baseline's own A/A twin reaches.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.measure.attention import WrongOutputError, check_output
from benchmarks.measure.environment import capture_environment
from benchmarks.measure.memory import pin_allocator
from benchmarks.measure.problems import make_call, make_inputs, photo_tokens
from benchmarks.measure.timing import LatencyResult, measure_latency
from benchmarks.models import create_any_model
from benchmarks.plan.cells import Cell
from kgt import build_key_graph

FINE, WRONG_USE, FAILURE = 0, 2, 3
_console = Console(stderr=True, highlight=False, soft_wrap=True)

Row = dict[str, Any]


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
            f"{text!r} is not HEIGHTxWIDTH in pixels, e.g. 96x96"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--budget", type=float, default=10.0, help="seconds per comparison")
    common.add_argument("--seed", type=int, default=0)
    common.add_argument("--json", action="store_true", help="print one JSON list")

    window = argparse.ArgumentParser(add_help=False)
    window.add_argument("--tokens", type=_numbers, default=[1024], help="N, a comma list")
    window.add_argument("--k", type=_numbers, default=[128], help="keys per token, a comma list")
    window.add_argument("--windows", type=_positive, default=4)

    attention = commands.add_parser(
        "attention", parents=[common, window], help="attention backends on one problem"
    )
    attention.add_argument(
        "--backends", type=_names, required=True, help="backends, or dense (no graph)"
    )
    attention.add_argument("--heads", type=_positive, default=6)
    attention.add_argument("--head-dim", type=_positive, default=30)
    attention.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float64"])
    attention.add_argument("--graph", default="photo", choices=["photo", "random"])
    attention.add_argument("--mode", default="forward", choices=["forward", "backward"])

    graph = commands.add_parser("graph", parents=[common, window], help="building the graph")
    graph.add_argument("--builders", type=_names, default=list(_BUILDERS), help=str([*_BUILDERS]))

    model = commands.add_parser("model", parents=[common], help="whole networks")
    model.add_argument(
        "--models",
        type=_names,
        required=True,
        help="names, with fields where wanted: kgt-s-x4:k=128:backend=torch-mask",
    )
    model.add_argument("--input", type=_size, default=(96, 96), help="height x width, e.g. 96x96")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    pin_allocator(reuse=True)
    try:
        rows = list(_COMMANDS[options.command](options))
    except ValueError as error:
        _console.print(f"measure: {error}", markup=False)
        return WRONG_USE
    except (WrongOutputError, RuntimeError, KeyboardInterrupt) as error:
        _console.print(f"measure: {type(error).__name__}: {error}", markup=False)
        return FAILURE
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        _print_table(rows)
    return FINE


def _compare(calls: Mapping[str, Callable[[], object]], options: argparse.Namespace) -> list[Row]:
    with _console.status("warming up") as status:
        result = measure_latency(
            calls,
            next(iter(calls)),
            budget_s=options.budget,
            seed=options.seed,
            on_round=lambda done, seconds: status.update(
                f"round {done}, {seconds:.0f} of {options.budget:.0f} s"
            ),
        )
    return _rows(result)


def _rows(result: LatencyResult) -> list[Row]:
    return [
        {
            "contender": name,
            "median_ms": timing.median_ms,
            "ratio": timing.ratio.value,
            "lo": timing.ratio.lo,
            "hi": timing.ratio.hi,
            "floor": result.floor,
            "verdict": timing.verdict.label,
            "rounds": result.rounds,
            "stopped_by": result.stopped_by,
        }
        for name, timing in result.contenders.items()
    ]


def _measure_attention(options: argparse.Namespace) -> Iterator[Row]:
    for n in options.tokens:
        for k in options.k:
            cell = Cell(
                kind="latency",
                n=n,
                k=k,
                windows=options.windows,
                heads=options.heads,
                head_dim=options.head_dim,
                graph=options.graph,
                dtype=options.dtype,
                mode=options.mode,
                seed=options.seed,
            )
            inputs = make_inputs(cell)
            calls = {name: make_call(inputs, name, cell) for name in options.backends}
            for name, call in calls.items():
                check_output(inputs, call(), name)
            for row in _compare(calls, options):
                yield {"tokens": n, "k": min(k, n), **row}


def _build_by_topk(tokens: Tensor, k: int) -> Tensor:
    """What one writes first: all similarities, then torch.topk; ties fall as they may."""
    return torch.topk(tokens @ tokens.mT, min(k, tokens.shape[1])).indices


_BUILDERS: dict[str, Callable[[Tensor, int], object]] = {
    "matmul-topk": _build_by_topk,
    "kgt": build_key_graph,
}


def _measure_graph(options: argparse.Namespace) -> Iterator[Row]:
    unknown = [name for name in options.builders if name not in _BUILDERS]
    if unknown:
        raise ValueError(f"unknown builder {', '.join(unknown)}; valid: {', '.join(_BUILDERS)}")
    for n in options.tokens:
        tokens = photo_tokens(options.windows, n, options.seed)
        for k in options.k:
            calls = {
                name: torch.inference_mode()(partial(_BUILDERS[name], tokens, k))
                for name in options.builders
            }
            for row in _compare(calls, options):
                yield {"tokens": n, "k": min(k, n), **row}


def _create_described(description: str) -> nn.Module:
    """A model from NAME:field=value:field=value."""
    name, *fields = description.split(":")
    overrides = {}
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals:
            raise ValueError(f"{description!r}: expected NAME:field=value, got {field!r}")
        overrides[key] = yaml.safe_load(value)
    return create_any_model(name, **overrides).eval()


def _measure_model(options: argparse.Namespace) -> Iterator[Row]:
    generator = torch.Generator().manual_seed(options.seed)
    x = torch.rand(1, 3, *options.input, generator=generator)
    calls = {}
    for description in options.models:
        torch.manual_seed(options.seed)
        network = _create_described(description)
        calls[description] = torch.inference_mode()(partial(network, x))
        out = calls[description]()
        if not torch.isfinite(out).all():
            raise WrongOutputError(f"{description}: the output is not finite")
    for row in _compare(calls, options):
        yield {"input": "x".join(map(str, options.input)), **row}


_COMMANDS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "attention": _measure_attention,
    "graph": _measure_graph,
    "model": _measure_model,
}


def _print_table(rows: list[Row]) -> None:
    table = Table(caption=capture_environment().describe())
    for name in rows[0]:
        table.add_column(name, justify="left" if name in ("contender", "verdict") else "right")
    for row in rows:
        table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=140)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
