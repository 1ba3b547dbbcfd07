"""The exact tier compares values that are no times with blessed ones. It gates every push.

Values that depend on torch's own code are judged only under the torch they were blessed with, and
only where the native kernels can be compiled; all others are judged everywhere. The blessed values
of the Triton kernels, and the way to bless them, are in `benchmarks.measure.kernels`.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from benchmarks.measure import kernels
from benchmarks.measure.kernels import Usages, judge_usage, measure_usage
from benchmarks.records.environment import Environment, capture_environment
from benchmarks.records.reading import read_json
from benchmarks.regression.golden import measure_golden
from benchmarks.regression.values import (
    KINDS,
    Content,
    Value,
    measure_dependent,
    measure_portable,
)
from kgt.attention.native import unavailable_reason
from kgt.files import write_atomically

BLESSED = Path("results/blessed/exact.json")
KERNELS = "kernels"
# One per vendor: all four take another quarter of a minute. `measure kernels` compiles them all.
KERNEL_TARGETS = ("sm_90", "gfx942")

Label = Literal["SAME", "CHANGED", "NOT BLESSED", "GONE", "NOT COMPARABLE"]


@dataclass(frozen=True)
class Blessed:
    """Blessed values by kind and name, the torch that gave them, and why they are right."""

    torch: str
    reason: str
    values: dict[str, dict[str, Content]]


@dataclass(frozen=True)
class ValueFinding:
    """The result for one value.

    Attributes:
        kind: a key of KINDS, or "kernels".
        name: what the value is of.
        verdict: the comparison's outcome.
        detail: the change, or why there was nothing to compare.
        unraised: the component whose behaviour changed under an old version, if one did.
    """

    kind: str
    name: str
    verdict: Label
    detail: str = ""
    unraised: str = ""

    @property
    def changed(self) -> bool:
        """Whether the value is another than the blessed one."""
        return self.verdict == "CHANGED"

    @property
    def failed(self) -> bool:
        """Whether it needs either a repair or a blessing."""
        return self.verdict in ("CHANGED", "NOT BLESSED", "GONE")


@dataclass(frozen=True)
class ExactReport:
    """All findings, and where they were made.

    Attributes:
        findings: one per value, in the order measured.
        environment: machine and software.
        note: with what the values were blessed, and why.
    """

    findings: tuple[ValueFinding, ...]
    environment: Environment
    note: str

    @property
    def failures(self) -> list[ValueFinding]:
        """The findings that fail the gate."""
        return [finding for finding in self.findings if finding.failed]

    @property
    def judged(self) -> int:
        """How many values could be compared, or should have been blessed."""
        return sum(finding.verdict != "NOT COMPARABLE" for finding in self.findings)

    def count_verdicts(self) -> dict[str, Counter[str]]:
        """How often each verdict fell, by kind."""
        counts: dict[str, Counter[str]] = {}
        for finding in self.findings:
            counts.setdefault(finding.kind, Counter())[finding.verdict] += 1
        return counts


def run_exact(
    reason: str | None = None, on_step: Callable[[str], None] = lambda about: None
) -> ExactReport:
    """Measure every value and judge it; kernels compile side by side with the rest.

    Args:
        reason: bless today's values with this reason, then judge by them.
        on_step: called with what is done next.

    Raises:
        ValueError: nothing is blessed yet, or a blessing cannot be whole here.
    """
    if reason is None:
        load_blessed()
    values, usage = measure(on_step)
    if reason is not None:
        bless(values, reason)
    blessed = load_blessed()
    findings = [*judge_values(values, blessed), *judge_kernels(usage)]
    note = f"blessed with torch {blessed.torch}: {blessed.reason}"
    return ExactReport(tuple(findings), capture_environment(), note)


def measure(
    on_step: Callable[[str], None] = lambda about: None,
) -> tuple[list[Value], dict[str, Usages] | None]:
    """All values, and the usage of the Triton kernels; None without triton."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as processes, ThreadPoolExecutor(1) as threads:
        compiling = threads.submit(unavailable_reason)
        usage = processes.submit(measure_usage, KERNEL_TARGETS) if _has_triton() else None
        values = list(measure_portable(on_step))
        on_step("golden values of components")
        values += measure_golden()
        on_step("compiling the native kernels")
        compiling.result()
        values += measure_dependent(on_step)
        on_step("compiling the Triton kernels")
        return values, usage.result() if usage else None


def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def load_blessed() -> Blessed:
    """The blessed values.

    Raises:
        ValueError: when there are none yet, or the file holds something else.
    """
    if not BLESSED.exists():
        raise ValueError(
            f"{BLESSED.absolute()} does not exist; run this in the repository, or make the file "
            "with --bless REASON"
        )
    return read_json(BLESSED, Blessed)


def bless(values: Sequence[Value], reason: str) -> None:
    """Make these values the blessed ones, and keep why.

    Raises:
        ValueError: for an empty reason, a value that cannot be had here, or one that changed under
            an old version of its component.
    """
    if not reason.strip():
        raise ValueError("--bless needs a reason, which is kept beside the values")
    for finding in judge_values(values, load_blessed()) if BLESSED.exists() else ():
        if finding.unraised:
            raise ValueError(f"{finding.kind} {finding.name}: {finding.detail}")
    by_kind: dict[str, dict[str, Content]] = {kind: {} for kind in KINDS}
    for value in values:
        if value.content is None:
            raise ValueError(
                f"{value.kind} {value.name} cannot be blessed on this machine: {value.reason}"
            )
        by_kind[value.kind][value.name] = value.content
    content = {"torch": _torch_version(), "reason": reason, "values": by_kind}
    write_atomically(BLESSED, json.dumps(content, indent=1) + "\n")


def _torch_version() -> str:
    """Without the build: the operators of torch are the same with CUDA and without."""
    return torch.__version__.split("+")[0]


def judge_values(values: Iterable[Value], blessed: Blessed) -> Iterator[ValueFinding]:
    """Compare values with the blessed ones, then name those that are blessed but gone."""
    values = list(values)
    missing = {(kind, name) for kind, names in blessed.values.items() for name in names}
    obstacle = unavailable_reason()
    if blessed.torch != _torch_version():
        obstacle = f"blessed with torch {blessed.torch}, this is {_torch_version()}"
    findings = []
    for value in values:
        missing.discard((value.kind, value.name))
        before = blessed.values.get(value.kind, {}).get(value.name)
        findings.append(ValueFinding(value.kind, value.name, *_compare(value, before, obstacle)))
    yield from _ask_for_versions(values, findings)
    for kind, name in sorted(missing):
        yield ValueFinding(kind, name, "GONE", "blessed, but no longer measured")


def _ask_for_versions(values: list[Value], findings: list[ValueFinding]) -> Iterator[ValueFinding]:
    """Name the component of each value that changed under an old version.

    What changed with another component that it depends on is that component's affair.
    """
    changed = [value for value, finding in zip(values, findings, strict=True) if finding.changed]
    raised = {value.name for value in changed if value.kind == "version"}
    moved = set(raised)
    for value in sorted(changed, key=lambda value: len(value.shows)):
        if value.shows and moved.isdisjoint(value.shows[1:]):
            moved.add(value.shows[0])
    for value, finding in zip(values, findings, strict=True):
        own = value.shows[:1]
        if finding.changed and own and own[0] not in raised and moved.isdisjoint(value.shows[1:]):
            advice = f"raise the version of {own[0]} in {KINDS[value.kind].home}, then bless"
            yield replace(finding, detail=f"{finding.detail}; {advice}", unraised=own[0])
        else:
            yield finding


def _compare(value: Value, before: Content | None, obstacle: str) -> tuple[Label, str]:
    kind = KINDS[value.kind]
    if value.content is None:
        return "NOT COMPARABLE", value.reason
    if obstacle and not kind.portable:
        return "NOT COMPARABLE", obstacle
    if before is None:
        return "NOT BLESSED", describe_content(value.content)
    change = describe_change(before, value.content, kind.tolerance)
    return ("CHANGED", change) if change else ("SAME", "")


def describe_change(before: Content, after: Content, tolerance: float) -> str:
    """What differs by more than the tolerance, as in "aten.mm 3 -> 4"; empty if nothing does."""
    if isinstance(before, dict) and isinstance(after, dict):
        changes = [
            f"{name} {describe_change(before.get(name, 0), after.get(name, 0), tolerance)}"
            for name in dict.fromkeys([*before, *after])
            if describe_change(before.get(name, 0), after.get(name, 0), tolerance)
        ]
        return ", ".join(changes)
    if isinstance(before, int | float) and isinstance(after, int | float):
        # Written so that not a number is a difference.
        if abs(after - before) <= tolerance:
            return ""
    elif before == after:
        return ""
    return f"{describe_content(before)} -> {describe_content(after)}"


def describe_content(content: Content) -> str:
    """A value in words, whole numbers with separators."""
    if isinstance(content, dict):
        return ", ".join(f"{name} {describe_content(part)}" for name, part in content.items())
    return f"{content:,}" if isinstance(content, int) else str(content)


def judge_kernels(usage: Mapping[str, Usages] | None) -> Iterator[ValueFinding]:
    """Compare the Triton kernels with their own blessed values.

    Raises:
        ValueError: when there are none yet.
    """
    blessed = kernels.load_blessed()
    if usage is None:
        yield ValueFinding(KERNELS, "all", "NOT COMPARABLE", "triton is not installed")
        return
    for row in judge_usage(usage, blessed):
        name, verdict = f"{row['target']} {row['kernel']}", row["verdict"]
        if verdict == "OTHER TRITON":
            yield ValueFinding(
                KERNELS, name, "NOT COMPARABLE", f"blessed with triton {blessed.triton}"
            )
        elif verdict in ("SAME", "NOT BLESSED"):
            yield ValueFinding(KERNELS, name, verdict)
        else:
            yield ValueFinding(KERNELS, name, "CHANGED", verdict)
    for target, launches in usage.items():
        for name in sorted(set(blessed.usage.get(target, {})) - set(launches)):
            yield ValueFinding(
                KERNELS, f"{target} {name}", "GONE", "blessed, but no longer launched"
            )
