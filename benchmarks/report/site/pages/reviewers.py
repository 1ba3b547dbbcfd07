"""The questions that the paper's reviewers asked and never got answered, each from records."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from baselines.catalog import list_any_models
from benchmarks.records.cell import NetworkCell, PrintedCell, TrainingCell
from benchmarks.records.result import (
    CostResult,
    NetworkLatency,
    PrintedResult,
    TrainingResult,
)
from benchmarks.report.series import select
from benchmarks.report.site.findings import list_findings
from benchmarks.report.site.findings.speed import describe_ratio
from benchmarks.report.site.library import Library
from benchmarks.report.site.writer import Site

_NOT_MEASURED = "Not measured"


class Line(NamedTuple):
    """A part of an answer and the page behind it, empty where there is none."""

    text: str
    path: str = ""


class Answer(NamedTuple):
    """A question with its answer."""

    question: str
    summary: str
    lines: list[Line]


def add(site: Site, library: Library) -> None:
    """Add the page."""
    answers = [answer(library) for answer in _ANSWERS]
    site.add_page("reviewers.html", "reviewers.html", answers=answers)


def _answer_latency(library: Library) -> Answer:
    lines = []
    exhibit = library.find("table", "semanir-3", "cpu")
    if exhibit is not None:
        found = select(exhibit.records, NetworkCell, NetworkLatency)
        for cell, result in sorted(found.items(), key=lambda pair: pair[1].ratio.value):
            text = (
                f"{cell.contender} on {cell.input}: {result.latency.value / 1e3:,.2f} s, "
                f"{result.ratio.value:.2f} times {cell.baseline} ({describe_ratio(result)})"
            )
            lines.append(Line(text, library.path_of(exhibit.records[cell])))
    summary = "Whole networks at their published sizes on a CPU." if lines else _NOT_MEASURED
    return Answer("How long does it take beside its peers?", summary, lines)


def _answer_parameters(library: Library) -> Answer:
    counted: dict[str, Line] = {}
    for exhibit in library.exhibits:
        for cell, result in select(exhibit.records, NetworkCell, CostResult).items():
            if cell.model in ("kgt-u", "kgt-s-x4", "kgt-b-x4", "swinir-m-x4"):
                text = f"{cell.model}: {result.parameters.value / 1e6:.2f} M parameters, counted"
                counted.setdefault(cell.model, Line(text, library.path_of(exhibit.records[cell])))
    quoted = library.printed()
    for printed, numbers in select(quoted, PrintedCell, PrintedResult).items():
        if numbers.parameters and printed.model in ("KGT", "SwinIR"):
            millions = numbers.parameters.value / 1e6
            which = f"{printed.model}, {printed.task or printed.variant}"
            text = f"{which}: {millions:.2f} M parameters, {printed.source}"
            record = quoted[printed]
            counted.setdefault(text, Line(text, library.path_of(record)))
    summary = (
        "The paper does not say. KGT is U-shaped but for super-resolution, and wider at its lower "
        "levels; comparisons here are of equal size."
        if counted
        else _NOT_MEASURED
    )
    return Answer("Why has KGT more parameters than SwinIR?", summary, list(counted.values()))


def _answer_k(library: Library) -> Answer:
    findings = [f for f in list_findings(library) if f.key in ("random-k", "fewer-keys")]
    lines = [Line(f"{f.verdict}: {f.sentence}", f.path) for f in findings]
    summary = (
        "Records say which k was used. Where a recipe draws k, it does so once per step, for the "
        "whole batch."
        if lines
        else _NOT_MEASURED
    )
    return Answer("Which k is used, and is it drawn per batch?", summary, lines)


def _answer_convergence(library: Library) -> Answer:
    lines: dict[str, Line] = {}
    for exhibit in library.exhibits:
        if exhibit.profile_name == "smoke":
            continue
        for cell, result in select(exhibit.records, TrainingCell, TrainingResult).items():
            held = f", held-out PSNR {result.held_out.value:.2f} dB" if result.held_out else ""
            recipe = cell.recipe or "as it ships"
            text = (
                f"{cell.model}, {recipe}: {result.steps:,} steps in "
                f"{result.training_time.value / 60:,.0f} minutes{held}"
            )
            lines.setdefault(text, Line(text, library.path_of(exhibit.records[cell])))
    summary = (
        "Time and steps of trainings here; curves stand on the pages of models. A time to a given "
        "quality at the papers' size is not measured."
        if lines
        else _NOT_MEASURED
    )
    return Answer("How fast does it converge?", summary, list(lines.values()))


def _answer_rivals(library: Library) -> Answer:
    del library
    there = [name for name in list_any_models() if name.startswith(("kit", "drsformer"))]
    names = ", ".join(there)
    summary = f"Here as {names}" if there else f"{_NOT_MEASURED}: neither is among the models here."
    lines = [Line("Keys by nearness, as KiT selects them, are an arm of study keys", "tables.html")]
    return Answer("How does it compare with KiT and DRSformer?", summary, lines)


def _answer_limits(library: Library) -> Answer:
    lines = [
        Line(f"{claim.judgment.claim}: {claim.judgment.evidence}", claim.path)
        for claim in library.claims()
        if claim.judgment.verdict == "FAILS" and claim.exhibit.profile_name != "smoke"
    ]
    summary = f"{len(lines)} claims fail on the records here." if lines else "No claim fails here."
    return Answer("What are its limits?", summary, lines)


_ANSWERS: tuple[Callable[[Library], Answer], ...] = (
    _answer_latency,
    _answer_parameters,
    _answer_k,
    _answer_convergence,
    _answer_rivals,
    _answer_limits,
)
