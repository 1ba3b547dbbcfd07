"""Measure named contenders side by side in one run; the first named is the baseline.

A ratio is a contender's time over the baseline's, below 1 is faster; lo and hi are its 99 %
interval, floor is how far from 1 the baseline's own A/A twin reaches.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, Literal

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.measure.attention import WrongOutputError, check_call, layers_of, synchronizer
from benchmarks.measure.builders import BUILDERS, choose_builders, count_wrong_rows
from benchmarks.measure.cost import describe_cost
from benchmarks.measure.environment import capture_environment
from benchmarks.measure.kernels import (
    TARGETS,
    bless,
    judge_usage,
    load_blessed,
    measure_usage,
)
from benchmarks.measure.memory import PeakMemory, pin_allocator
from benchmarks.measure.networks import NetworkJob, make_network_call
from benchmarks.measure.problems import (
    CHANNELS,
    LAYERS,
    make_inputs,
    make_stage_call,
    photo_tokens,
    random_graph,
)
from benchmarks.measure.restoration import RestorationJob, describe_restorations
from benchmarks.measure.roofline import estimate_kernels
from benchmarks.measure.sandbox import run_isolated
from benchmarks.measure.structure import describe_structure
from benchmarks.measure.timing import LatencyResult, measure_latency
from benchmarks.plan.cells import Cell
from benchmarks.report.terminal import print_table
from kgt import KeyGraph, build_key_graph
from kgt.graph import SIMILARITIES

FINE, FELL_SHORT, WRONG_USE, FAILURE = 0, 1, 2, 3
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
        _print_rows(rows)
    return FINE if all(row.get("agrees", True) for row in rows) else FELL_SHORT


def _compare(
    calls: Mapping[str, Callable[[], object]],
    options: argparse.Namespace,
    calls_per_run: Mapping[str, int] | None = None,
    device: str | None = None,
) -> list[Row]:
    with _console.status("warming up") as status:
        result = measure_latency(
            calls,
            next(iter(calls)),
            budget_s=options.budget,
            seed=options.seed,
            calls_per_run=calls_per_run,
            synchronize=synchronizer(device),
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
    device: Literal["cuda"] | None = "cuda" if options.device == "cuda" else None
    if device and not torch.cuda.is_available():
        raise ValueError("--device cuda needs a CUDA device, and torch finds none")
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
                bias=options.bias,
                layers=options.layers,
                device=device,
                dtype=options.dtype,
                mode=options.mode,
                seed=options.seed,
            )
            inputs = make_inputs(cell)
            calls = {}
            for name in options.backends:
                with _console.status(f"{name}: checking against the reference"):
                    calls[name] = make_stage_call(inputs, name, cell)
                    check_call(inputs, calls[name], name, cell)
            layers = layers_of(calls)
            for row in _compare(calls, options, layers, device):
                yield {"tokens": n, "k": min(k, n), **row, "stage_calls": layers[row["contender"]]}


def _measure_graph(options: argparse.Namespace) -> Iterator[Row]:
    if options.structure:
        yield from _describe_graphs(options)
        return
    builders = choose_builders(options.builders)
    for n in options.tokens:
        tokens = _make_tokens(options, n)
        for k in options.k:
            calls = {
                name: torch.inference_mode()(partial(builder, tokens, k))
                for name, builder in builders.items()
            }
            for name, call in calls.items():
                wrong = count_wrong_rows(tokens, k, call())
                if wrong:
                    raise WrongOutputError(f"{name}: {wrong} rows are not the {k} most similar")
            for row in _compare(calls, options):
                yield {"tokens": n, "k": min(k, n), **row}


def _make_tokens(options: argparse.Namespace, n: int) -> Tensor:
    if options.graph == "photo":
        return photo_tokens(options.windows, n, options.seed, options.channels)
    generator = torch.Generator().manual_seed(options.seed)
    return torch.randn(options.windows, n, options.channels, generator=generator)


def _describe_graphs(options: argparse.Namespace) -> Iterator[Row]:
    for n in options.tokens:
        for k in options.k:
            for similarity, graph in _connect(options, n, k).items():
                named = {"graph": options.graph, "similarity": similarity}
                yield {"tokens": n, "k": graph.k, **named, **describe_structure(graph)}


def _connect(options: argparse.Namespace, n: int, k: int) -> dict[str, KeyGraph]:
    """The graphs to describe, by the similarity they are built from."""
    if options.graph == "random":
        generator = torch.Generator().manual_seed(options.seed)
        return {"none": random_graph(options.windows, n, k, generator)}
    tokens = _make_tokens(options, n)
    return {name: build_key_graph(tokens, k, similarity=name) for name in SIMILARITIES}


def _measure_model(options: argparse.Namespace) -> Iterator[Row]:
    jobs = {
        description: NetworkJob(
            description,
            options.input,
            options.dtype,
            options.mode,
            options.batch,
            options.seed,
        )
        for description in options.models
    }
    calls = {description: make_network_call(job) for description, job in jobs.items()}
    for description, call in calls.items():
        with _console.status(f"{description}: first call"):
            if not torch.isfinite(call()).all():
                raise WrongOutputError(f"{description}: the output is not finite")
    peaks = {name: _measure_memory(job) for name, job in jobs.items()} if options.memory else {}
    for row in _compare(calls, options):
        peak = peaks.get(row["contender"], {})
        yield {"input": "x".join(map(str, options.input)), **row, **peak}


def _measure_memory(job: NetworkJob) -> Row:
    """Peak memory of a network in MiB; the resident set is None where the system cannot tell."""
    with _console.status(f"{job.description}: peak memory"):
        outcome = run_isolated(
            "benchmarks.measure.networks:measure_network_memory",
            job,
            threads=torch.get_num_threads(),
        )
    if outcome.status != "ok":
        raise RuntimeError(f"{job.description}: memory: {outcome.status}: {outcome.reason}")
    peak: PeakMemory = outcome.value
    return {
        "peak_mib": None if peak.peak_bytes is None else peak.peak_bytes / 2**20,
        "tensors_mib": peak.live_tensor_bytes / 2**20,
    }


def _count_cost(options: argparse.Namespace) -> Iterator[Row]:
    with _console.status("counting") as status:
        rows = describe_cost(options.models, options.input, status.update)
    # Beside each other, more columns than these fit on no screen.
    shown = rows[0].keys() - {"gflop", "other_percent", "pairs_in_graph", "pairs_computed"}
    for row in rows:
        yield row if options.json else {name: row[name] for name in row if name in shown}


def _restore(options: argparse.Namespace) -> Iterator[Row]:
    width, height = options.output
    job = RestorationJob("", byte_budget=options.byte_budget * 2**20, seed=options.seed)
    with _console.status("loading") as status:
        yield from describe_restorations(
            options.models,
            (height, width),
            job,
            whole=not options.no_whole,
            timeout_s=options.timeout,
            on_progress=lambda name, done: status.update(f"{name}: {done:.0%}"),
        )


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


_COMMANDS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "attention": _measure_attention,
    "graph": _measure_graph,
    "model": _measure_model,
    "cost": _count_cost,
    "restore": _restore,
}


def _print_rows(rows: list[Row]) -> None:
    print_table(
        [*rows[0]],
        [[*row.values()] for row in rows],
        numbers=[name for name in rows[0] if name not in ("contender", "verdict")],
        caption=capture_environment().describe(),
    )


if __name__ == "__main__":
    sys.exit(main())
