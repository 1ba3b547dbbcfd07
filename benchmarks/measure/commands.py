"""What each command of the command line measures, as rows of a table."""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from itertools import product
from math import isqrt
from typing import Any, Literal

import torch
from torch import Tensor

from benchmarks.cli.terminal import print_table
from benchmarks.measure.attention import WrongOutputError, check_call, layers_of, synchronizer
from benchmarks.measure.builders import BUILDERS, choose_builders, count_wrong_rows
from benchmarks.measure.cost import count_cost, describe_cost
from benchmarks.measure.estimates import estimate_kernels
from benchmarks.measure.kernels import TARGETS, bless, judge_usage, load_blessed, measure_usage
from benchmarks.measure.memory import pin_allocator
from benchmarks.measure.networks import make_network_call
from benchmarks.measure.problems import make_inputs, make_stage_call, photo_tokens, random_graph
from benchmarks.measure.restoration import (
    RestorationFailed,
    RestorationJob,
    photograph,
    restore_both_ways,
)
from benchmarks.measure.roofline import count_work, describe_roofline, make_peak_calls
from benchmarks.measure.sandbox import run_isolated
from benchmarks.measure.structure import describe_structure
from benchmarks.measure.timing import measure_latency
from benchmarks.records.cell import AttentionCell, NetworkCell
from benchmarks.records.environment import capture_environment
from kgt import KeyGraph, build_key_graph
from kgt.attention.similarity import OF_SQUARE_WINDOWS, SIMILARITIES
from kgt.cli import Exit, choose_device, say, show_progress
from kgt.errors import Failure

Row = dict[str, Any]


def measure(options: argparse.Namespace) -> list[Row]:
    """Measure what a command line asks for."""
    pin_allocator(reuse=True)
    if getattr(options, "threads", None):
        torch.set_num_threads(options.threads)
    return list(_COMMANDS[options.command](options))


def _compare(
    calls: Mapping[str, Callable[[], object]],
    options: argparse.Namespace,
    calls_per_run: Mapping[str, int] | None = None,
    device: str | None = None,
) -> list[Row]:
    with show_progress("measure", options.budget) as report:
        report("warming up", 0)
        result = measure_latency(
            calls,
            next(iter(calls)),
            budget_s=options.budget,
            seed=options.seed,
            calls_per_run=calls_per_run,
            synchronize=synchronizer(device),
            on_round=lambda done, seconds: report(f"round {done}", seconds),
        )
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
    device = _choose_cell_device(options)
    for n in options.tokens:
        for k in options.k:
            cell = _make_cell(
                options,
                n,
                k,
                layers=options.layers,
                device=device,
                dtype=options.dtype,
                mode=options.mode,
            )
            inputs = make_inputs(cell)
            calls = {}
            with show_progress("measure", len(options.backends)) as report:
                for done, name in enumerate(options.backends):
                    report(f"{name}: checking against the reference", done)
                    calls[name] = make_stage_call(inputs, name, cell)
                    check_call(inputs, calls[name], name, cell)
            layers = layers_of(calls)
            for row in _compare(calls, options, layers, device):
                yield {"tokens": n, "k": min(k, n), **row, "stage_calls": layers[row["contender"]]}


def _make_cell(options: argparse.Namespace, n: int, k: int, **fields: Any) -> AttentionCell:
    return AttentionCell(
        kind="latency",
        n=n,
        k=k,
        backend="auto",
        windows=options.windows,
        heads=options.heads,
        head_dim=options.head_dim,
        graph=options.graph,
        bias=options.bias,
        seed=options.seed,
        **{"dtype": "float32", "mode": "forward"} | fields,
    )


def _measure_roofline(options: argparse.Namespace) -> Iterator[Row]:
    for n, k in product(options.tokens, options.k):
        cell = _make_cell(options, n, k)
        inputs = make_inputs(cell)
        call = make_stage_call(inputs, "native", cell)
        check_call(inputs, call, "native", cell)
        calls: dict[str, Callable[[], object]] = {"native": call, **make_peak_calls()}
        median_ms = {
            row["contender"]: row["median_ms"]
            for row in _compare(calls, options, layers_of({"native": call}))
        }
        native_ms = median_ms.pop("native")
        yield {
            "tokens": n,
            "k": min(k, n),
            **describe_roofline(count_work(inputs), native_ms, median_ms),
        }


def _choose_cell_device(options: argparse.Namespace) -> Literal["cuda"] | None:
    return "cuda" if choose_device(options.device).type == "cuda" else None


def _measure_graph(options: argparse.Namespace) -> Iterator[Row]:
    if options.structure:
        yield from _describe_graphs(options)
        return
    builders = choose_builders(options.builders or [*BUILDERS])
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
    unfit = () if isqrt(n) ** 2 == n else OF_SQUARE_WINDOWS
    return {
        name: build_key_graph(tokens, k, similarity=name)
        for name in SIMILARITIES
        if name not in unfit
    }


def _measure_model(options: argparse.Namespace) -> Iterator[Row]:
    device = _choose_cell_device(options)
    size = "x".join(map(str, options.input))
    calls, peaks = {}, {}
    contenders = [*product(options.models, options.runtimes)]
    with show_progress("measure", len(contenders)) as report:
        for done, (description, runtime) in enumerate(contenders):
            contender = description if runtime == "eager" else f"{description} {runtime}"
            report(f"{contender}: first call", done)
            cell = NetworkCell(
                kind="latency",
                model=description,
                input=size,
                dtype=options.dtype,
                mode="backward" if options.mode == "train-step" else "forward",
                seed=options.seed,
                device=device,
            )
            calls[contender] = call = make_network_call(cell, options.batch, runtime)
            if not torch.isfinite(call()).all():
                raise WrongOutputError(f"{contender}: the output is not finite")
            if options.memory and runtime == "eager":
                report(f"{contender}: peak memory", done)
                peaks[contender] = _measure_memory(cell, options.batch)
    for row in _compare(calls, options, device=device):
        yield {"input": size, **row, **peaks.get(row["contender"], {})}


def _measure_memory(cell: NetworkCell, batch: int) -> Row:
    """Peak memory of a network in MiB; the resident set is None where the system cannot say."""
    outcome = run_isolated(
        "benchmarks.measure.networks:measure_network_memory",
        (cell, batch),
        threads=torch.get_num_threads(),
    )
    if outcome.status != "ok":
        raise Failure(f"{cell.model}: memory: {outcome.status}: {outcome.reason}")
    peak = outcome.value.peak
    return {
        "peak_mib": None if peak is None else peak.value / 2**20,
        "tensors_mib": outcome.value.live_tensors.value / 2**20,
    }


def _count_cost(options: argparse.Namespace) -> Iterator[Row]:
    rows = []
    with show_progress("measure") as report:
        for description in options.models:
            report(description)
            rows.append(describe_cost(count_cost(description, options.input)))
    # Beside each other, more columns than these fit on no screen.
    shown = rows[0].keys() - {"gflop", "other_percent", "pairs_in_graph", "pairs_computed"}
    for row in rows:
        yield row if options.json else {name: row[name] for name in row if name in shown}


def _restore(options: argparse.Namespace) -> Iterator[Row]:
    truth, budget = photograph(*options.output), options.byte_budget * 2**20
    with show_progress("measure", 1) as report:
        for name in options.models:
            both = restore_both_ways(
                RestorationJob(name, byte_budget=budget, seed=options.seed),
                truth,
                whole=not options.no_whole,
                timeout_s=options.timeout,
                on_progress=partial(report, name),
            )
            if isinstance(both.whole, RestorationFailed):
                raise both.whole
            yield {
                "model": name,
                "output": "x".join(map(str, options.output)),
                "tile": both.tiled.plan,
                "seconds": both.tiled.seconds,
                "peak_mib": both.tiled.peak_bytes / 2**20,
                "budget_mib": budget / 2**20,
                "kept": both.tiled.peak_bytes <= budget,
                "psnr_change": both.gain,
                "steps": both.max_steps,
            }


_COMMANDS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "attention": _measure_attention,
    "graph": _measure_graph,
    "roofline": _measure_roofline,
    "model": _measure_model,
    "cost": _count_cost,
    "restore": _restore,
}


def check_kernels(options: argparse.Namespace) -> Exit:
    """Compile the Triton kernels, compare them with the blessed values, or bless them."""
    if importlib.util.find_spec("triton") is None:
        raise ValueError("kernels needs the package triton, which is not installed")
    if options.bless is not None and not options.bless.strip():
        raise ValueError("--bless needs a reason, which is kept beside the values")
    with show_progress("measure") as report:
        report("compiling")
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
        print_rows(rows)
        print_rows(estimates)
        say("measure", note)
    return Exit.FELL_SHORT if any(row["failed"] for row in rows) else Exit.FINE


def print_rows(rows: list[Row]) -> None:
    """Print rows as a table, with the environment below."""
    print_table(
        [*rows[0]],
        [[*row.values()] for row in rows],
        numbers=[name for name, value in rows[0].items() if not isinstance(value, str)],
        caption=capture_environment().describe(),
    )
