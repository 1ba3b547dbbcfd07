"""The pages of tables and studies, and the list of all of them."""

from __future__ import annotations

from collections import Counter
from typing import get_args

from benchmarks.report.judgment import VerdictLabel
from benchmarks.report.site.charts import add_chart
from benchmarks.report.site.exhibit_charts import draw_exhibit
from benchmarks.report.site.library import Exhibit, Library
from benchmarks.report.site.tables import Cell, make_view, view_exhibit
from benchmarks.report.site.writer import Site

_ORDER: tuple[VerdictLabel, ...] = get_args(VerdictLabel)


def add(site: Site, library: Library) -> None:
    """Add the pages."""
    for exhibit in library.exhibits:
        _add_exhibit(site, library, exhibit)
    header = ["report", "profile", "in the second paper", *_ORDER[:3], "records", "newest"]
    rows = [_describe(exhibit) for exhibit in library.exhibits]
    site.add_page(
        "tables.html",
        "tables.html",
        view=make_view("reports", header, rows, ("profile",)),
        absent=[
            (
                f"{spec.kind.capitalize()} {spec.name} ({name}): {spec.title}",
                f"python -m benchmarks.reproduce --{spec.kind} {spec.name} --profile {name}",
            )
            for spec, name in library.absent
        ],
    )


def _describe(exhibit: Exhibit) -> list[Cell]:
    verdicts = Counter(judgment.verdict for judgment in exhibit.report.judgments)
    counts = [verdicts[verdict] for verdict in _ORDER[:3]]
    newest = max(
        record.environment.timestamp[:10]
        for record in exhibit.report.records.values()
        if record.environment
    )
    return [
        Cell(exhibit.title, exhibit.path, style="pin"),
        Cell(exhibit.profile_name),
        Cell(", ".join(exhibit.spec.aliases)),
        *(Cell(str(count) if count else "", order=float(count)) for count in counts),
        Cell(str(len(exhibit.report.records)), order=float(len(exhibit.report.records))),
        Cell(newest),
    ]


def _add_exhibit(site: Site, library: Library, exhibit: Exhibit) -> None:
    drawn = draw_exhibit(exhibit)
    chart = add_chart(site, exhibit.name, *drawn) if drawn else None
    claims = [claim for claim in library.claims() if claim.exhibit is exhibit]
    verdicts = Counter(claim.judgment.verdict for claim in claims)
    site.add_page(
        exhibit.path,
        "exhibit.html",
        exhibit=exhibit,
        names=", ".join(exhibit.spec.aliases),
        table=exhibit.report.table,
        view=view_exhibit(library, exhibit),
        chart=chart,
        claims=claims,
        verdicts={verdict: verdicts[verdict] for verdict in _ORDER if verdicts[verdict]},
        count=len(exhibit.report.records),
    )
