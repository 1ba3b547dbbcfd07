"""Everything that a site shows: each table and study with its records, and who measured when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from benchmarks.plan.specs import Profile, ProfileName, SpecKind, TableSpec, load_specs
from benchmarks.records.cell import Cell, PrintedCell
from benchmarks.records.environment import Environment
from benchmarks.records.record import Record, RecordStore
from benchmarks.report.claims.training import Tested, list_tested
from benchmarks.report.judgment import Judgment
from benchmarks.report.reproduction import Report, Reproduction
from benchmarks.report.series import Records

KINDS: tuple[SpecKind, ...] = ("table", "study")


@dataclass(frozen=True)
class Exhibit:
    """A table or study in one of its profiles, as far as it is recorded.

    Attributes:
        spec, profile_name, profile: what was asked.
        report: what was found.
        environment: the one that the report is of.
        store: all records, those that newer ones supersede too.
    """

    spec: TableSpec
    profile_name: str
    profile: Profile
    report: Report
    environment: Environment
    store: RecordStore

    @property
    def name(self) -> str:
        """File stem, e.g. "table3-cpu"."""
        return self.report.table.name

    @property
    def title(self) -> str:
        """Its title, without the profile."""
        return f"{self.spec.kind.capitalize()} {self.spec.name}: {self.spec.title}"

    @property
    def path(self) -> str:
        """Its page."""
        return f"table/{self.name}.html"

    @property
    def records_path(self) -> str:
        """The page of its records."""
        return f"record/{self.name}.html"

    @property
    def records(self) -> Records:
        """By cell, the printed ones too."""
        return self.report.everything


class Claim(NamedTuple):
    """A judged claim, where it stands, and what number it has there."""

    exhibit: Exhibit
    number: int
    judgment: Judgment

    @property
    def path(self) -> str:
        """Its page."""
        return f"claim/{self.exhibit.name}-{self.number}.html"

    @property
    def code(self) -> str:
        """C1 to C9 of the papers' claims, empty of ours."""
        first = self.judgment.claim.partition(" ")[0].partition("-")[0]
        return first if first[:1] == "C" and first[1:].isdecimal() else ""


class Library:
    """All tables and studies that have records, and what has none.

    Attributes:
        exhibits: in the order of their numbers and names.
        absent: specifications with a profile that is more than a smoke test and has no record.
        folder: where the records lie.
    """

    def __init__(
        self, exhibits: list[Exhibit], absent: list[tuple[TableSpec, ProfileName]], folder: Path
    ) -> None:
        self.exhibits, self.absent, self.folder = exhibits, absent, folder
        self._pages = {
            id(record): exhibit.records_path
            for exhibit in exhibits
            for record in exhibit.report.records.values()
        }

    def find(self, kind: SpecKind, name: str, profile: str) -> Exhibit | None:
        """A table or study, None where there are no records of it."""
        for exhibit in self.exhibits:
            spec = exhibit.spec
            if (spec.kind, spec.name, exhibit.profile_name) == (kind, name, profile):
                return exhibit
        return None

    def claims(self) -> Iterator[Claim]:
        """All judged claims, by exhibit."""
        for exhibit in self.exhibits:
            for number, judgment in enumerate(exhibit.report.judgments, start=1):
                yield Claim(exhibit, number, judgment)

    @cached_property
    def tests(self) -> list[tuple[Tested, Claim]]:
        """Differences of trained networks, with the claims that they decide, but of smoke tests."""
        found = []
        claims = {(id(c.exhibit), c.judgment.claim): c for c in self.claims()}
        for exhibit in self.exhibits:
            if exhibit.profile_name != "smoke":
                keys = [(test, (id(exhibit), test.claim)) for test in list_tested(exhibit.records)]
                found += [(test, claims[key]) for test, key in keys if key in claims]
        return found

    def path_of(self, record: Record) -> str:
        """The page that shows a record, and its place there."""
        printed = isinstance(record.cell, PrintedCell)
        page = "printed.html" if printed else self._pages[id(record)]
        return f"{page}#{record.cell.hash}"

    def printed(self) -> dict[Cell, Record]:
        """The records of printed numbers."""
        return {
            cell: record
            for exhibit in self.exhibits
            for cell, record in exhibit.records.items()
            if isinstance(cell, PrintedCell)
        }

    def environments(self) -> dict[str, list[Record]]:
        """The records that are shown, by the key of their environment."""
        found: dict[str, list[Record]] = defaultdict(list)
        for exhibit in self.exhibits:
            for record in exhibit.report.records.values():
                found[record.environment_key].append(record)
        return dict(sorted(found.items()))

    def problems(self) -> list[str]:
        """Where and why a line could not be read, with the path from the folder of records on."""
        prefix = f"{self.folder}/"
        return [
            problem.removeprefix(prefix)
            for exhibit in self.exhibits
            for problem in exhibit.store.problems
        ] + [problem.removeprefix(prefix) for problem in self._list_unread()]

    def _list_unread(self) -> list[str]:
        """Faults of files that are not shown, and files of no table or study."""
        shown = {exhibit.name for exhibit in self.exhibits}
        planned = {
            spec.file_stem(name)
            for kind in KINDS
            for spec in load_specs(kind).values()
            for name in spec.profiles
        }
        found = []
        for path in sorted((self.folder / "records").glob("*.jsonl")):
            if path.stem not in shown:
                found += RecordStore(path).problems
            if path.stem not in planned:
                found.append(f"{path}: belongs to no table or study")
        return found


def load_library(results: Path) -> Library:
    """Read and judge all records in a folder of results.

    Raises:
        ValueError: there is no folder of records.
    """
    if not (results / "records").is_dir():
        raise ValueError(f"there is no folder {results / 'records'} of records; --results names it")
    exhibits: list[Exhibit] = []
    absent: list[tuple[TableSpec, ProfileName]] = []
    for kind in KINDS:
        for spec in load_specs(kind).values():
            found = [e for name in spec.profiles if (e := _load_exhibit(spec, name, results))]
            # A smoke test says whether the chain works, and stands only where there is no more.
            larger = [exhibit for exhibit in found if exhibit.profile_name != "smoke"]
            exhibits += larger or found
            recorded = {exhibit.profile_name for exhibit in found}
            absent += [(spec, name) for name in spec.profiles if name not in recorded | {"smoke"}]
    return Library(exhibits, absent, results)


def _load_exhibit(spec: TableSpec, name: str, results: Path) -> Exhibit | None:
    """A table or study in a profile, None where nothing of it is recorded."""
    profile = spec.profile(name)[1]
    work = Reproduction(spec, name, profile, results)
    environment = work.store.newest_environment(work.cells)
    if environment is None:
        return None
    return Exhibit(spec, name, profile, work.build(environment), environment, work.store)
