"""A table as data: a pure function of a specification and records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from benchmarks.data.manifest import MANIFEST
from benchmarks.plan.paper_rows import load_printed
from benchmarks.plan.specs import Column, Profile, Shown, TableSpec
from benchmarks.records.cell import Cell, PrintedCell, QualityCell
from benchmarks.records.environment import Environment
from benchmarks.records.record import Record
from benchmarks.records.result import (
    AttentionRun,
    LatencyResult,
    MemoryResult,
    Missing,
    PrintedResult,
    QualityResult,
    TrainingResult,
)
from benchmarks.report.entries import MISSING, Entry, as_entry, format_distance, format_result
from benchmarks.report.printed import measure_distances
from benchmarks.report.series import Records, select
from benchmarks.tasks import get_protocol

# Below the text of a table that has such rows beside printed ones.
_OURS = (
    " Rows marked `ours` are small-scale: networks of equal size (kgt-tiny, swinir-tiny), trained "
    "here for about an hour at most, with the same steps, batches and seed, by the recipe named."
)


@dataclass(frozen=True)
class Table:
    """A table that can be rendered.

    Attributes:
        name: file stem, e.g. "table3-cpu".
        title, text: heading and introduction.
        command: regenerates the files.
        header, rows: of columns, and a list of entries per row.
        naming: how many columns, the first ones, name a row.
        shown: which columns and rows stand before the fold of a page; None leaves that to counting.
        notes: footnotes in order of their number.
        protocols: the rules by which what is measured here was scored.
        inputs: how the inputs of which sets were made, and which sets have another name.
        coverage, spent: how many cells have values, and the time it took to measure them.
        environment: described, of the measured records.
        problems: record lines that could not be read.
    """

    name: str
    title: str
    text: str
    command: str
    header: list[str]
    rows: list[list[Entry]]
    naming: int
    shown: Shown | None
    notes: list[str]
    protocols: list[str]
    inputs: list[str]
    coverage: str
    spent: str
    environment: str
    problems: list[str]


_Key = tuple[object, ...]


def build_table(
    spec: TableSpec,
    profile_name: str,
    profile: Profile,
    records: Records,
    environment: Environment | None,
    problems: list[str],
) -> Table:
    """Lay records out as the specification says; what is missing is printed with its reason."""
    printed = load_printed(spec)
    statements = {
        cell: f"{result.stated.value:+g} {result.stated.unit}"
        for cell, result in select(printed, PrintedCell, PrintedResult).items()
        if result.stated
    }
    planned = profile.cells()
    layout = _Layout(spec, profile_name, records, {**records, **printed})
    rows = layout.lay_out([*planned, *(cell for cell in printed if cell not in statements)])
    protocols = dict.fromkeys(cell.rules for cell in planned if isinstance(cell, QualityCell))
    return Table(
        name=spec.file_stem(profile_name),
        title=f"{spec.kind.capitalize()} {spec.name} ({profile_name}): {spec.title}",
        text=spec.text + (_OURS if any(map(_recipe_of, records.values())) and spec.papers else ""),
        command=(
            f"python -m benchmarks.reproduce --{spec.kind} {spec.name} "
            f"--profile {profile_name} --from-records"
        ),
        header=[*spec.rows, *(column.header for column in spec.columns), *layout.sources],
        rows=rows,
        naming=len(spec.rows),
        shown=spec.shown,
        notes=[*layout.notes, *(_describe_statement(*found) for found in statements.items())],
        protocols=[get_protocol(name).text for name in protocols],
        inputs=_describe_inputs(records),
        coverage=_describe_coverage(planned, records, printed),
        spent=_describe_time(records.values()),
        environment=_describe_environments(records, environment),
        problems=problems,
    )


def _describe_environments(records: Records, environment: Environment | None) -> str:
    """The environment, and how many scores come from others."""
    if environment is None:
        return "nothing measured"
    others = [r for r in records.values() if r.environment_key != environment.key]
    text = environment.describe()
    if others:
        keys = ", ".join(sorted({record.environment_key for record in others}))
        text += f"; the values of {len(others)} cells in environment {keys}"
    return text


class _Layout:
    """The rows of a table, and the footnotes that they refer to."""

    def __init__(
        self, spec: TableSpec, profile_name: str, measured: Records, records: Records
    ) -> None:
        self.spec, self.profile_name, self.records = spec, profile_name, records
        self.distances = {distance.cell: distance for distance in measure_distances(spec, measured)}
        self.notes: list[str] = []
        # Headers of the columns that say where a row of a table with printed ones comes from.
        named = ["source"] if "protocol" in spec.rows else ["source", "protocol"]
        self.sources = named if spec.papers else []

    def lay_out(self, cells: list[Cell]) -> list[list[Entry]]:
        """Rows of cells: by number, then by task where rows have one, then as they come."""
        tasks = list(dict.fromkeys(getattr(cell, "task", None) for cell in cells))

        def place(key: _Key) -> tuple[list[int], int]:
            numbers = [part for part in key if isinstance(part, int)]
            task = dict(zip(self.spec.rows, key, strict=True)).get("task")
            return numbers, tasks.index(str(task)) if task else 0

        of_profiles = [c for profile in self.spec.profiles.values() for c in profile.cells()]
        groups, everywhere = self._group(cells), self._group(of_profiles)
        rows = []
        for key in sorted(groups, key=place):
            own = groups[key]
            row = [self._fill(column, own, everywhere[key]) for column in self.spec.columns]
            rows.append([*map(as_entry, key), *_say_once(row), *self._describe_sources(own)])
            if any(cell in self.distances for cell in own):
                rows.append(self._subtract_quoted(key, own))
        return rows

    def _group(self, cells: list[Cell]) -> dict[_Key, list[Cell]]:
        groups: dict[_Key, list[Cell]] = defaultdict(list)
        for cell in cells:
            groups[tuple(getattr(cell, name, None) for name in self.spec.rows)].append(cell)
        return groups

    def _fill(self, column: Column, cells: list[Cell], everywhere: list[Cell]) -> Entry:
        """The entry of a row's cells, or why there is none in this of all profiles."""
        wanted = _select(column, cells)
        if not wanted:
            reason = f"not part of profile {self.profile_name}"
            return Entry(MISSING + (self._mark(reason) if _select(column, everywhere) else ""))
        record = self.records.get(wanted[0])
        if record is None:
            reason = f"not measured: run without --from-records (profile {self.profile_name})"
            return Entry(MISSING + self._mark(reason), {"status": "missing"})
        return replace(self._show(column, record), record=record)

    def _show(self, column: Column, record: Record) -> Entry:
        """What a column shows of a record, with the marks of its footnotes."""
        result = record.result
        if isinstance(result, Missing):
            known = result.quantity(column.metric)
            word = MISSING if record.is_absent else result.status
            entry = format_result(column, result) if known else Entry(word)
            return entry.add(
                self._mark((result.reason.splitlines() or [result.status])[0]), status=result.status
            )
        entry = format_result(column, result)
        if isinstance(result, AttentionRun) and result.clamped:
            return entry.add(self._mark("k is clamped to the N tokens of the window"))
        if isinstance(result, QualityResult) and result.partial:
            return entry.add(self._mark_partial(column.where["dataset"], result.partial))
        return entry

    def _subtract_quoted(self, key: _Key, cells: list[Cell]) -> list[Entry]:
        """The row below a measured one: what it differs by from the quoted row of its method."""
        first = next(self.distances[cell] for cell in cells if cell in self.distances)
        twin, source = first.twin, first.quoted.source
        names = dict(zip(self.spec.rows, key, strict=True))
        row = [*map(as_entry, {**names, "model": f"{names['model']} - {twin.method}"}.values())]
        for column in self.spec.columns:
            scored = _select(column, cells) if column.format in ("quality", "psnr") else []
            shown = [self.distances[c] for c in scored if c in self.distances]
            entry = format_distance(column, shown[0]) if shown else Entry(MISSING)
            if shown:
                entry = replace(entry, record=self.records[shown[0].cell])
            if shown and (partial := shown[0].partial):
                entry = entry.add(self._mark_partial(shown[0].cell.dataset, partial))
            row.append(entry)
        texts = (f"measured - {source.removeprefix('as ')}", twin.protocol)
        return [*row, *map(as_entry, texts[: len(self.sources)])]

    def _describe_sources(self, cells: list[Cell]) -> list[Entry]:
        """Where a row's numbers come from, and by which protocol."""
        found = [self.records[cell] for cell in cells if cell in self.records]
        sources = {_describe_source(record) for record in found if record.status == "ok"}
        protocols = {c.protocol for c in cells if isinstance(c, (QualityCell, PrintedCell))}
        texts = (", ".join(sorted(sources)) or "not measured", ", ".join(sorted(protocols)))
        return [*map(as_entry, texts[: len(self.sources)])]

    def _mark(self, reason: str) -> str:
        """The mark of a footnote; they are numbered in the order of their first use."""
        if reason not in self.notes:
            self.notes.append(reason)
        return f" [{self.notes.index(reason) + 1}]"

    def _mark_partial(self, dataset: str, coverage: str) -> str:
        return self._mark(f"{dataset}: {coverage} images")


def _select(column: Column, cells: list[Cell]) -> list[Cell]:
    """The cells of a row that a column shows."""
    return [
        cell
        for cell in cells
        if cell.kind == column.kind
        and all(getattr(cell, name, None) == value for name, value in column.where.items())
    ]


def _say_once(row: list[Entry]) -> list[Entry]:
    """A row whose only entries are one and the same reason, which then stands there once."""
    first, *others = [entry for entry in row if entry.text != MISSING] or [Entry(MISSING)]
    if not all(entry.text == first.text and "status" in entry.values for entry in (first, *others)):
        return row
    return [
        replace(entry, text="") if entry.text == first.text and entry is not first else entry
        for entry in row
    ]


def _describe_statement(cell: PrintedCell, stated: str) -> str:
    """What a text says of two methods, as a note below the table."""
    where = " ".join(filter(None, (cell.task, cell.dataset)))
    return f"{cell.recipe}: {cell.model}, {where}: {stated}"


def _recipe_of(record: Record) -> str | None:
    """The recipe of weights that this project trained, where some were measured."""
    result = record.result
    return result.trained if isinstance(result, (QualityResult, TrainingResult)) else None


def _describe_source(record: Record) -> str:
    if isinstance(record.cell, PrintedCell):
        return record.cell.origin
    recipe = _recipe_of(record)
    return f"ours, recipe {recipe}" if recipe else record.source


def _describe_inputs(records: Records) -> list[str]:
    """A line per way to make inputs, with the sets, and one per set that has another name."""
    made: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for cell, result in select(records, QualityCell, QualityResult).items():
        tasks = made[result.degradation][cell.dataset]
        if cell.task not in tasks:
            tasks.append(cell.task)
    ways = Counter(dataset for sets in made.values() for dataset in sets)
    lines = []
    for how, sets in made.items():
        named = (
            f"{dataset} ({', '.join(tasks)})" if ways[dataset] > 1 else dataset
            for dataset, tasks in sets.items()
        )
        with_set = " with the set" if how == "shipped" else ""
        lines.append(f"{how}{with_set}: {', '.join(named)}")
    others = {dataset: MANIFEST[dataset]["test"].same_as for dataset in ways}
    return lines + [f"{name} has the images of {other}" for name, other in others.items() if other]


def _describe_coverage(planned: list[Cell], records: Records, printed: Records) -> str:
    valued = [records[cell] for cell in planned if cell in records and records[cell].status == "ok"]
    partial = sum(bool(getattr(record.result, "partial", None)) for record in valued)
    text = f"{len(valued)} of {len(planned)} planned cells have values"
    if partial:
        text += f", {partial} of them of partial sets"
    if printed:
        values = sum(len(record.result.quantities()) for record in printed.values())
        text += f"; {values} values are quoted"
    return text


def _describe_time(records: Iterable[Record]) -> str:
    """Seconds of the cells that time calls, and the share spent outside of these calls."""
    timed = [
        (result.called.value, result.wall.value)
        for result in (record.result for record in records)
        if isinstance(result, (LatencyResult, MemoryResult)) and result.called and result.wall
    ]
    if not timed:
        return ""
    called, wall = map(sum, zip(*timed, strict=True))
    return (
        f"{wall:,.0f} s in {len(timed)} cells, {1 - called / wall:.0%} of it outside the measured "
        "calls: starting processes, making inputs, checking outputs, statistics"
    )
