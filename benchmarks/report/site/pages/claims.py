"""The list of judged claims, and a page for each with the records behind it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.records.reading import read_yaml
from benchmarks.report.site.library import Claim, Library
from benchmarks.report.site.pages.records import describe_records
from benchmarks.report.site.tables import Cell, make_view
from benchmarks.report.site.writer import Site

_SAID = Path(__file__).parents[1] / "claims.yaml"


@cache
def _read_said() -> dict[str, Any]:
    return read_yaml(_SAID)


def add(site: Site, library: Library) -> None:
    """Add the pages."""
    said = _read_said()
    header = ["claim", "code", "verdict", "evidence", "report", "profile"]
    rows = [_describe(claim) for claim in library.claims()]
    view = make_view("claims", header, rows, ("code", "verdict", "report", "profile"))
    site.add_page("claims.html", "claims.html", said=said, view=view)
    for claim in library.claims():
        records = claim.exhibit.records
        site.add_page(
            claim.path,
            "claim.html",
            claim=claim,
            said=said.get(claim.code),
            records=describe_records(
                library, [records[cell] for cell in claim.judgment.cells if cell in records]
            ),
        )


def _describe(claim: Claim) -> list[Cell]:
    judgment = claim.judgment
    report = f"{claim.exhibit.spec.kind} {claim.exhibit.spec.name}"
    style = f"verdict-{judgment.verdict.lower().replace(' ', '-')}"
    return [
        Cell(judgment.claim, claim.path, style="pin"),
        Cell(claim.code or "ours"),
        Cell(judgment.verdict, style=style),
        Cell(judgment.summary, claim.path),
        Cell(report, claim.exhibit.path),
        Cell(claim.exhibit.profile_name),
    ]
