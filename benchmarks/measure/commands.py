"""What each command of the command line measures, as rows of a table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Literal

import torch
from rich.console import Console
from torch import Tensor

from benchmarks.measure.attention import WrongOutputError, check_call, layers_of, synchronizer
from benchmarks.measure.builders import choose_builders, count_wrong_rows
from benchmarks.measure.cost import describe_cost
from benchmarks.measure.memory import PeakMemory
from benchmarks.measure.networks import NetworkJob, make_network_call
from benchmarks.measure.problems import make_inputs, make_stage_call, photo_tokens, random_graph
from benchmarks.measure.restoration import RestorationJob, describe_restorations
from benchmarks.measure.sandbox import run_isolated
from benchmarks.measure.structure import describe_structure
from benchmarks.measure.timing import LatencyResult, measure_latency
from benchmarks.records.cell import Cell
from kgt import KeyGraph, build_key_graph
from kgt.attention.graph import SIMILARITIES

_console = Console(stderr=True, highlight=False, soft_wrap=True)

Row = dict[str, Any]


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


COMMANDS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "attention": _measure_attention,
    "graph": _measure_graph,
    "model": _measure_model,
    "cost": _count_cost,
    "restore": _restore,
}
