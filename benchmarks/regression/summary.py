"""The results of the exact and the paired tier as Markdown, for a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.records.environment import Environment
from benchmarks.records.statistics import Ratio
from benchmarks.regression.comparison import PairedResult
from benchmarks.regression.exact import KERNELS, ExactReport
from benchmarks.regression.paired import PairedReport


def render_exact(report: ExactReport) -> str:
    """Verdict, a table of what differs, and how to bless it."""
    failures = report.failures
    if not report.judged:
        verdict = "nothing could be judged"
    elif failures:
        verdict = f"{len(failures)} of {report.judged} values differ"
    else:
        verdict = f"all {report.judged} values are as blessed"
    lines = [f"### Exact tier: {verdict}", ""]
    if failures:
        rows = [(f.kind, f.name, f.verdict, f.detail) for f in failures]
        lines += [*_table(("kind", "value of", "verdict", "change"), rows), ""]
    unknown = len(report.findings) - report.judged
    if unknown:
        reasons = dict.fromkeys(f.detail for f in report.findings if f.verdict == "NOT COMPARABLE")
        lines += [f"Not comparable here: {unknown} values ({'; '.join(reasons)}).", ""]
    lines += ["Run it with `python -m benchmarks.regress exact`."]
    lines += [_how_to_bless(command) for command in list_blessings(report)]
    return "\n".join([*lines, "", _foot(report.environment)])


def list_blessings(report: ExactReport) -> list[str]:
    """The commands that would make what differs the blessed values."""
    kinds = {finding.kind for finding in report.failures}
    commands = []
    if kinds - {KERNELS}:
        commands.append("python -m benchmarks.regress exact --bless REASON")
    if KERNELS in kinds:
        commands.append("python -m benchmarks.measure kernels --bless REASON")
    return commands


def _how_to_bless(command: str) -> str:
    return f"If the change is meant, `{command}` accepts it; commit the file it writes."


def render_paired(report: PairedReport, verdict: str) -> str:
    """Verdict, a row per benchmark with ratio, interval and noise floor, and how to rerun.

    Args:
        report: what was measured.
        verdict: the outcome in a few words.
    """
    base, head = report.base_commit[:12], report.head_commit[:12]
    changes = " with uncommitted changes" if report.head_dirty else ""
    headings = (
        "benchmark",
        "verdict",
        "head / base",
        "99 % interval",
        "floor",
        "base ms",
        "head ms",
    )
    rows = [
        (
            result.name,
            describe_paired(result),
            *(("", "") if result.ratio is None else _describe_ratio(result.ratio)),
            "" if result.floor is None else f"{result.floor:.3f}",
            *("" if ms is None else f"{ms:.4g}" for ms in (result.base_ms, result.head_ms)),
        )
        for result in report.results
    ]
    reasons = [
        f"- {result.name}: {_escape(result.reason)}"
        for result in report.results
        if result.status != "ok"
    ]
    lines = [f"### Paired tier: {verdict}", "", f"Head {head}{changes} against base {base}.", ""]
    lines += [*_table(headings, rows), "", *reasons, *([""] if reasons else [])]
    lines += [f"Run it with `python -m benchmarks.regress paired --base {base}`."]
    return "\n".join([*lines, "", _foot(report.environment)])


def describe_paired(result: PairedResult) -> str:
    """The verdict of a benchmark, or what went wrong; SLOWER says whether it was confirmed."""
    if result.status != "ok" or result.verdict is None:
        return result.status
    label = result.verdict.label
    if label == "SLOWER":
        return f"{label}, {'confirmed' if result.confirmed else 'not confirmed'}"
    return label


def _describe_ratio(ratio: Ratio) -> tuple[str, str]:
    return f"{ratio.value:.3f}", f"[{ratio.lo:.3f}, {ratio.hi:.3f}]"


def _foot(environment: Environment) -> str:
    return f"<sub>{environment.describe()}</sub>\n"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [headings, ["---"] * len(headings), *rows]
    return [f"| {' | '.join(map(_escape, line))} |" for line in lines]


def _escape(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")
