"""What the exact and the paired tier found, for a terminal and for a pull request."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.cli.escaping import escape_markdown, render_table
from benchmarks.cli.terminal import print_table
from benchmarks.records.environment import Environment
from benchmarks.regression.comparison import PairedResult
from benchmarks.regression.exact import KERNELS, ExactReport
from benchmarks.regression.paired import PairedReport


@dataclass(frozen=True)
class Summary:
    """The outcome of a tier.

    Attributes:
        verdict: the outcome in a few words.
        headings: of the table.
        rows: of the table; there is none without rows.
        notes: what stands below it.
        environment: where it was measured.
    """

    verdict: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: list[str]
    environment: Environment

    def show(self) -> None:
        """Print it on standard output, the verdict last."""
        if self.rows:
            print_table(self.headings, self.rows)
        print("\n".join([*self.notes, self.verdict]))

    def render(self) -> str:
        """The same as Markdown, with the environment."""
        table = render_table(self.headings, [[*map(escape_markdown, row)] for row in self.rows])
        notes = map(escape_markdown, self.notes)
        parts = [f"### {self.verdict}", *([table] if self.rows else []), *notes]
        where = escape_markdown(self.environment.describe())
        return "\n\n".join([*parts, f"<sub>{where}</sub>\n"])


def summarize_exact(report: ExactReport) -> Summary:
    """What differs, how many values do not, and how to bless a change that is meant."""
    failures = report.failures
    if not report.judged:
        verdict = "nothing could be judged"
    elif failures:
        verdict = f"{len(failures)} of {report.judged} values differ"
    else:
        verdict = f"all {report.judged} values are as blessed"
    notes = [
        f"- {kind}: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}"
        for kind, counts in report.count_verdicts().items()
    ]
    unknown = [f.detail for f in report.findings if f.verdict == "NOT COMPARABLE"]
    notes += [f"Not comparable here: {detail}." for detail in dict.fromkeys(unknown)]
    notes += ["Run it with `python -m benchmarks.regress exact`."]
    kinds = {finding.kind for finding in failures}
    for differs, command in (
        (kinds - {KERNELS}, "regress exact"),
        (kinds & {KERNELS}, "measure kernels"),
    ):
        if differs:
            notes.append(
                f"If the change is meant, `python -m benchmarks.{command} --bless REASON` accepts "
                "it; commit the file it writes."
            )
    return Summary(
        f"Exact tier: {verdict}",
        ("kind", "value of", "verdict", "change"),
        [(f.kind, f.name, f.verdict, f.detail) for f in failures],
        notes,
        report.environment,
    )


def summarize_paired(report: PairedReport, verdict: str) -> Summary:
    """Ratio, interval and noise floor of every benchmark, and how to rerun.

    Args:
        report: what was measured.
        verdict: the outcome in a few words.
    """
    base, head = report.base_commit[:12], report.head_commit[:12]
    changes = " with uncommitted changes" if report.head_dirty else ""
    return Summary(
        f"Paired tier: {verdict}",
        ("benchmark", "verdict", "head / base", "99 % interval", "floor", "base ms", "head ms"),
        [(result.name, *_describe_paired(result)) for result in report.results],
        [
            *(f"- {r.name}: {r.reason}" for r in report.results if r.reason),
            f"Head {head}{changes} against base {base}.",
            f"Run it with `python -m benchmarks.regress paired --base {base}`.",
        ],
        report.environment,
    )


def _describe_paired(result: PairedResult) -> tuple[str, ...]:
    """The cells of a benchmark; SLOWER says whether it was confirmed."""
    ratio = result.ratio
    if result.verdict is None or ratio is None:
        return (result.status, *[""] * 5)
    label: str = result.verdict.label
    if label == "SLOWER":
        label += ", confirmed" if result.confirmed else ", not confirmed"
    return (
        label,
        f"{ratio.value:.3f}",
        f"[{ratio.lo:.3f}, {ratio.hi:.3f}]",
        f"{result.floor:.3f}",
        f"{result.base_ms:.4g}",
        f"{result.head_ms:.4g}",
    )
