"""The paired tier: a base commit against the working tree; only SLOWER twice is a regression."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.records.environment import Environment, capture_environment
from benchmarks.records.statistics import Verdict
from benchmarks.regression.comparison import PairedResult, compare, is_head
from benchmarks.regression.process import WorkerServer
from benchmarks.regression.workloads import list_benchmarks
from benchmarks.regression.worktree import checked_out, resolve_commit
from kgt.cli import Exit
from kgt.errors import unknown

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class PairedReport:
    """A base commit against the working tree.

    Attributes:
        base_commit: full hash.
        head_commit: full hash of what the working tree is based on.
        head_dirty: whether the working tree's sources differ from `head_commit`; what was
            measured are the sources as they are.
        environment: where it was measured.
        results: one per benchmark, in the order asked for.
    """

    base_commit: str
    head_commit: str
    head_dirty: bool
    environment: Environment
    results: tuple[PairedResult, ...]


def run_paired(
    base: str,
    *,
    names: Sequence[str] | None,
    budget_s: float,
    threshold: float,
    timeout_s: float,
    on_event: Callable[[str], None],
    changed_outputs: Collection[str] = (),
) -> PairedReport:
    """Compare the working tree with a base commit.

    Args:
        base: the base commit, as git names it.
        names: benchmarks to run; None runs all.
        budget_s: seconds of rounds per benchmark; a benchmark that is SLOWER is measured twice.
        threshold: smallest relative difference that matters.
        timeout_s: seconds that one answer may take, compilation included.
        on_event: called with a line of text as the run proceeds.
        changed_outputs: benchmarks whose output is meant to differ from the base's.

    Returns:
        One result per benchmark.

    Raises:
        BaseCommitError: if the base commit does not import.
        ValueError: for an unknown commit or benchmark, or a limit out of range.
    """
    chosen = list(dict.fromkeys(list_benchmarks() if names is None else names))
    known = list_benchmarks()
    for name in [*chosen, *changed_outputs]:
        if name not in known:
            raise unknown("benchmark", name, known)
    for label, limit in (("budget_s", budget_s), ("timeout_s", timeout_s)):
        if not limit > 0:
            raise ValueError(f"{label} must be positive, got {limit}")
    if not threshold >= 0:
        raise ValueError(f"threshold must be >= 0, got {threshold}")
    base_commit, head_commit = resolve_commit(ROOT, base), resolve_commit(ROOT, "HEAD")
    environment = capture_environment()
    with checked_out(ROOT, base_commit) as tree, WorkerServer(timeout_s) as server:
        measure = partial(
            compare,
            start=lambda side: server.fork(ROOT if is_head(side) else tree),
            budget_s=budget_s,
            threshold=threshold,
            on_event=on_event,
            changed_outputs=changed_outputs,
        )
        results = confirm(chosen, measure, on_event)
    return PairedReport(
        base_commit, head_commit, bool(environment.dirty), environment, tuple(results)
    )


def confirm(
    names: Sequence[str],
    measure: Callable[[Sequence[str]], list[PairedResult]],
    on_event: Callable[[str], None] = lambda text: None,
) -> list[PairedResult]:
    """Measure benchmarks, and whatever is SLOWER a second time.

    Args:
        names: benchmarks.
        measure: `compare`, with fresh workers at every call.
        on_event: called with a line of text before the second measurement.

    Returns:
        One result per name; a SLOWER that the second measurement does not repeat is UNCLEAR.
    """
    results = measure(names)
    suspects = [result.name for result in results if _is_slower(result)]
    if not suspects:
        return results
    on_event(f"measuring again what was slower: {', '.join(suspects)}")
    again = {result.name: result for result in measure(suspects)}
    return [
        _merge(result, again[result.name]) if result.name in again else result for result in results
    ]


def _is_slower(result: PairedResult) -> bool:
    return result.verdict is not None and result.verdict.label == "SLOWER"


def _merge(first: PairedResult, second: PairedResult) -> PairedResult:
    """The second measurement if it is SLOWER, too, or fails; else UNCLEAR."""
    if second.verdict is None:
        return second
    if _is_slower(second):
        return replace(second, confirmed=True)
    reason = f"SLOWER at first, then {second.verdict.label}: {second.verdict.reason}"
    return replace(second, verdict=Verdict("UNCLEAR", reason), reason=reason)


def judge(report: PairedReport) -> tuple[Exit, str]:
    """Exit code and verdict; the verdict names what is worse beside what failed, too."""
    results = report.results
    worse = [
        result.name
        for result in results
        if result.status == "wrong-output" or (_is_slower(result) and result.confirmed)
    ]
    failed = [result.name for result in results if result.status in ("failed", "timeout")]
    if not results:
        return Exit.WRONG_USE, "nothing was measured"
    found = {"could not measure": failed, "regression in": worse}
    verdict = "; ".join(f"{what} {', '.join(names)}" for what, names in found.items() if names)
    if not verdict:
        return Exit.FINE, f"no regression in {len(results)} benchmarks"
    return Exit.FAILURE if failed else Exit.FELL_SHORT, verdict
