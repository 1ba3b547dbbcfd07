"""The results of the three tiers of regression tracking, as tables or as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from pydantic import BaseModel

from benchmarks.cli.terminal import print_table
from benchmarks.regression.calibration import Calibration
from benchmarks.regression.exact import ExactReport
from benchmarks.regression.history import MIN_POINTS, Series, Trend, compare_newest
from benchmarks.regression.paired import PairedReport
from benchmarks.regression.summary import describe_paired, list_blessings


def print_exact(report: ExactReport, as_json: bool) -> None:
    """Values that differ, how many do not, and how to bless a change that is meant."""
    if as_json:
        _print_json({"note": report.note, **_plain(report)})
        return
    if report.failures:
        print_table(
            ("kind", "value of", "verdict", "change"),
            [(f.kind, f.name, f.verdict, f.detail) for f in report.failures],
        )
    for kind, counts in report.count_verdicts().items():
        print(f"{kind}: {', '.join(f'{count} {verdict}' for verdict, count in counts.items())}")
    unknown = [finding for finding in report.findings if finding.verdict == "NOT COMPARABLE"]
    for detail in dict.fromkeys(finding.detail for finding in unknown):
        print(f"not comparable: {detail}")
    for command in list_blessings(report):
        print(f"if the change is meant: {command}")


def print_paired(report: PairedReport, verdict: str, as_json: bool) -> None:
    """Ratios, intervals and floors by benchmark, and the verdict on all."""
    if as_json:
        _print_json({"verdict": verdict, **_plain(report)})
        return
    rows = []
    for result in report.results:
        ratio = result.ratio
        numbers = (None,) * 3 if ratio is None else (ratio.value, ratio.lo, ratio.hi)
        reason = result.reason or (result.verdict.reason if result.verdict else "")
        rows.append((result.name, describe_paired(result), *numbers, result.floor, reason))
    headings = ("benchmark", "verdict", "head / base", "lo", "hi", "floor", "reason")
    print_table(headings, rows, numbers=headings[2:6])
    print(verdict)


def print_calibration(found: Calibration, as_json: bool) -> None:
    """How many comparisons erred, with an interval."""
    if as_json:
        _print_json(_plain(found))
        return
    rate, low, high = found.wrong_rate
    what = "planted slowdowns missed" if found.planted else "false verdicts"
    labels = ", ".join(f"{label} {count}" for label, count in found.verdicts.items())
    print(
        f"{found.wrong} of {found.comparisons} {what}: {rate:.1%}, "
        f"99 % interval {low:.1%} to {high:.1%} ({labels}; {found.elapsed_s:.0f} s)"
    )


def print_trends(trends: Sequence[Trend], as_json: bool) -> None:
    """The steps of all series, and how many series have any."""
    if as_json:
        _print_json([_describe_trend(trend) for trend in trends])
        return
    rows = [
        (
            *(trend.series.name, f"{trend.series.metric} {trend.series.unit}"),
            *(trend.series.environment.key, step.before, step.after, f"{step.ratio:.3f}"),
            f"{(step.first.commit or 'no commit')[:12]} {step.first.timestamp}",
        )
        for trend in trends
        for step in trend.steps
    ]
    if rows:
        numbers = ("before", "after", "ratio")
        headings = ("series", "metric", "environment", *numbers, "since")
        print_table(headings, rows, numbers=numbers)
    counts = Counter(trend.verdict for trend in trends)
    print(
        f"{len(trends)} series: {counts['STEPS']} with steps, {counts['STEADY']} steady, "
        f"{counts['TOO SHORT']} too short to judge (fewer than {MIN_POINTS} points)"
    )


def print_newest(
    old: Sequence[Series], new: Sequence[Series], *, with_ratios: bool, as_json: bool
) -> None:
    """The newest values of two files; ratios only where they were asked for."""
    rows = [
        {**asdict(row), **({"ratio": row.ratio} if with_ratios else {})}
        for row in compare_newest(old, new)
    ]
    if as_json:
        _print_json(rows)
        return
    print_table([*rows[0]], [[*row.values()] for row in rows])
    if with_ratios:
        print("runs of different times share no rounds: `regress paired` gives a verdict")


def _describe_trend(trend: Trend) -> dict[str, Any]:
    series = _plain(trend.series)
    environment = series.pop("environment")
    steps = [{**asdict(step), "ratio": step.ratio} for step in trend.steps]
    key = trend.series.environment.key
    return {
        **series,
        "environment": environment,
        "environment_key": key,
        "verdict": trend.verdict,
        "steps": steps,
    }


def _plain(value: Any) -> Any:
    """Dataclasses and models, nested, as what JSON can hold."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value):
        return {name: _plain(part) for name, part in vars(value).items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))
