"""The front page, the pages of findings, machines, and records that could not be read."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import NamedTuple

from benchmarks.records.record import Record
from benchmarks.report.site.charts import Chart, add_chart
from benchmarks.report.site.findings import SHOWN, list_findings
from benchmarks.report.site.findings.finding import Finding, Number
from benchmarks.report.site.library import Exhibit, Library
from benchmarks.report.site.pages.records import describe_records
from benchmarks.report.site.scoreboard import Square, list_squares
from benchmarks.report.site.writer import Site


class Machine(NamedTuple):
    """An environment, with how much was measured there and when."""

    anchor: str
    name: str
    text: str
    what: str
    json: str


def add(site: Site, library: Library) -> None:
    """Add the pages."""
    findings = list_findings(library)
    charts = {finding.key: _add_chart(site, finding) for finding in findings}
    for finding in findings:
        site.add_page(
            finding.path,
            "finding.html",
            finding=finding,
            chart=charts[finding.key],
            numbers=[(n, describe_records(library, n.records)) for n in finding.numbers],
        )
    problems = library.problems()
    site.add_page(
        "index.html",
        "front.html",
        findings=[
            (finding, _link_numbers(library, finding), charts[finding.key])
            for finding in findings[:SHOWN]
        ],
        more=findings[SHOWN:],
        board=_arrange(list_squares(library)),
        absent=_list_absent(library),
        places=_list_places(library),
        problems=len(problems),
    )
    site.add_page("machines.html", "machines.html", machines=_list_machines(library))
    site.add_page("unread.html", "unread.html", problems=problems)


def _add_chart(site: Site, finding: Finding) -> Chart | None:
    if finding.chart is None:
        return None
    return add_chart(site, f"finding-{finding.key}", finding.about, finding.chart)


def _link_numbers(library: Library, finding: Finding) -> list[tuple[Number, str]]:
    """Each number with the page of its record or, where it has several, of the finding."""
    return [
        (n, library.path_of(n.records[0]) if len(n.records) == 1 else finding.path)
        for n in finding.numbers
    ]


def _arrange(squares: list[Square]) -> dict[str, list[Square]]:
    """Squares by the family of their task."""
    board: dict[str, list[Square]] = defaultdict(list)
    for square in squares:
        board[square.family].append(square)
    return dict(board)


def _list_absent(library: Library) -> list[tuple[str, str, str]]:
    """What is not measured, why, and the page that says more."""
    lines = [
        (
            f"{spec.kind.capitalize()} {spec.name}",
            f"not begun; {spec.profiles[name].about}",
            "tables.html",
        )
        for spec, name in library.absent
    ]
    measured = {e.spec.name for e in library.exhibits if e.profile_name != "smoke"}
    lines += [
        (exhibit.title, f"a smoke test alone; {_find_reason(exhibit)}", exhibit.path)
        for exhibit in library.exhibits
        if exhibit.spec.name not in measured
    ]
    reasons: dict[str, tuple[str, str]] = {}
    judged = [c.judgment.claim for c in library.claims() if c.judgment.verdict != "NOT MEASURED"]
    for claim in library.claims():
        what = claim.judgment.claim.partition(" (")[0]
        elsewhere = any(one.startswith(what) for one in judged)
        missing = claim.judgment.verdict == "NOT MEASURED" and not elsewhere
        if missing and claim.exhibit.profile_name != "smoke":
            reason = claim.judgment.evidence.partition(";")[0].partition(":")[0]
            reasons.setdefault(what, (reason, claim.path))
    return lines + [(what, reason, path) for what, (reason, path) in reasons.items()]


def _find_reason(exhibit: Exhibit) -> str:
    """The commonest reason why its cells have no value."""
    reasons = Counter(
        record.reason.partition(":")[0].partition(";")[0]
        for record in exhibit.report.records.values()
        if record.status != "ok"
    )
    return reasons.most_common(1)[0][0] if reasons else "no full-size network was trained here"


def _list_places(library: Library) -> list[tuple[str, str, str]]:
    """Name, page and records of machines; those of one name, whose versions differ, as one."""
    places: dict[str, list[Record]] = defaultdict(list)
    for records in sorted(library.environments().values(), key=len, reverse=True):
        environment = records[0].environment
        assert environment is not None
        places[environment.place] += records
    return [
        (name, f"machines.html#{records[0].environment_key}", _date(records))
        for name, records in sorted(places.items(), key=lambda place: -len(place[1]))
    ]


def _list_machines(library: Library) -> list[Machine]:
    """All environments, those with most records first."""
    machines = []
    for key, records in library.environments().items():
        environment = records[0].environment
        assert environment is not None
        name, text = environment.place, environment.describe()
        content = environment.model_dump_json(exclude={"commit", "dirty", "timestamp"})
        machines.append((len(records), Machine(key, name, text, _date(records), content)))
    return [machine for _, machine in sorted(machines, key=lambda pair: (-pair[0], pair[1]))]


def _date(records: list[Record]) -> str:
    """How many records, and from when to when."""
    days = sorted({record.environment.timestamp[:10] for record in records if record.environment})
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"{len(records):,} records, {span}"
