"""What `regress history` prints: steps of series over time, and two files side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.cli.terminal import print_table
from benchmarks.records.environment import Environment
from benchmarks.regression.importing import import_records
from benchmarks.report.trends import MIN_POINTS, Series, Trend, build_series


def compare_newest(
    old: Iterable[Series], new: Iterable[Series], *, with_ratios: bool
) -> list[dict[str, str | float | None]]:
    """The newest values of equal series side by side, None where one side has none.

    Args:
        old: one set of series.
        new: another.
        with_ratios: whether to give new over old, which is only fair in one environment.
    """
    before, after = (
        {(s.name, s.metric, s.unit): s.points[-1].value for s in series} for series in (old, new)
    )
    rows = []
    for key in dict.fromkeys([*before, *after]):
        row: dict[str, str | float | None] = dict(zip(("name", "metric", "unit"), key, strict=True))
        was, now = before.get(key), after.get(key)
        row |= {"old": was, "new": now}
        if with_ratios:
            row["ratio"] = None if was is None or now is None else now / was
        rows.append(row)
    return rows


def load_pair(files: Sequence[Path], *, comparable: bool) -> tuple[list[Series], list[Series]]:
    """The series of two files, the older one first.

    Args:
        files: as `import_records` takes them.
        comparable: values of the two will be compared.

    Raises:
        ValueError: when there are not two, a file is of no or several environments, or they are to
            be compared and their environments differ.
    """
    if len(files) != 2:
        raise ValueError(f"two files are compared, the older first; got {len(files)}")
    old, new = (build_series(import_records([file])) for file in files)
    environments: list[Environment] = []
    for series in (old, new):
        by_key = {one.environment.key: one.environment for one in series}
        if len(by_key) != 1:
            raise ValueError(
                f"to compare, each file must be of one environment; found {len(by_key)}: "
                f"{', '.join(by_key) or 'nothing measured'}"
            )
        environments += by_key.values()
    differences = list_differences(*environments)
    if comparable and differences:
        raise ValueError(
            "times of different environments are not compared; different here: "
            f"{'; '.join(differences)}. --side-by-side prints both, no ratio"
        )
    return old, new


def list_differences(old: Environment, new: Environment) -> list[str]:
    """The fields that make two environments incomparable, as in "torch 2.13.0 -> 2.14.1"."""
    return [
        f"{field} {getattr(old, field)} -> {getattr(new, field)}"
        for field in Environment.model_fields
        if old.model_copy(update={field: getattr(new, field)}).key != old.key
    ]


def print_trends(trends: Sequence[Trend]) -> None:
    """Print the steps of all series, and how many series have any."""
    rows = [
        (
            *(trend.name, f"{trend.metric} {trend.unit}", trend.environment.key),
            *(step.before, step.after, f"{step.ratio:.3f}"),
            f"{(step.first.commit or 'no commit')[:12]} {step.first.timestamp}",
        )
        for trend in trends
        for step in trend.steps
    ]
    if rows:
        numbers = ("before", "after", "ratio")
        print_table(("series", "metric", "environment", *numbers, "since"), rows, numbers=numbers)
    counts = Counter(trend.verdict for trend in trends)
    print(
        f"{len(trends)} series: {counts['STEPS']} with steps, {counts['STEADY']} steady, "
        f"{counts['TOO SHORT']} too short to judge (fewer than {MIN_POINTS} points)"
    )
