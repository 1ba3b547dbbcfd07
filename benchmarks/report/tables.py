"""A table as data: a pure function of a specification and records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.plan.paper_rows import load_printed
from benchmarks.plan.specs import Column, Profile, TableSpec
from benchmarks.records.cell import Cell, PrintedCell, QualityCell
from benchmarks.records.environment import Environment
from benchmarks.records.record import Record
from benchmarks.records.result import (
    AttentionRun,
    LatencyResult,
    MemoryResult,
    PrintedResult,
    QualityResult,
    Quantity,
    TrainingResult,
)
from benchmarks.report.entries import MISSING, Entry, format_distance, format_result
from benchmarks.report.printed import Distance, measure_distances
from benchmarks.report.series import select
from benchmarks.tasks import get_protocol

# Below the text of a table that has such rows beside printed ones.
_OURS = (
    " Rows marked `ours` are small-scale: networks of equal size (kgt-tiny, swinir-tiny), trained "
    "here for about an hour at most, with the same steps, batches and seed, by the recipe named."
)


@dataclass(frozen=True)
class Table:
    """A rendered-to-be table.

    Attributes:
        name: file stem, e.g. "table3-cpu".
        title, text: heading and introduction.
        command: regenerates the files.
        header: column headers.
        rows: entries, one list per row.
        notes: footnotes in order of their number.
        protocols: the rules by which what is measured here was scored.
        coverage: how many of its cells have values.
        spent: the time it took to measure, and how much of it the harness itself took.
        environment: described, of the measured records.
        problems: record lines that could not be read.
    """

    name: str
    title: str
    text: str
    command: str
    header: list[str]
    rows: list[list[Entry]]
    notes: list[str]
    protocols: list[str]
    coverage: str
    spent: str
    environment: str
    problems: list[str]


class _Footnotes:
    """Numbers reasons in the order of their first use."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def mark(self, reason: str) -> str:
        if reason not in self.notes:
            self.notes.append(reason)
        return f" [{self.notes.index(reason) + 1}]"


def build_table(
    spec: TableSpec,
    profile_name: str,
    profile: Profile,
    records: Mapping[Cell, Record],
    environment: Environment | None,
    problems: list[str],
) -> Table:
    """Lay records out as the specification says; what is missing is printed with its reason."""
    printed = load_printed(spec)
    everything = {**records, **printed}
    distances: dict[Cell, Distance] = {
        distance.cell: distance for distance in measure_distances(spec, records)
    }
    stated = {
        cell: result.stated
        for cell, result in select(printed, PrintedCell, PrintedResult).items()
        if result.stated
    }
    cells = [*profile.cells(), *(cell for cell in printed if cell not in stated)]
    elsewhere = [cell for other in spec.profiles.values() for cell in other.cells()]
    footnotes = _Footnotes()
    rows = []
    for key in _order_rows(spec, cells):
        own = [cell for cell in cells if _row_key(spec, cell) == key]
        planned = [cell for cell in elsewhere if _row_key(spec, cell) == key]
        row = [
            _fill(column, own, planned, everything, footnotes, profile_name)
            for column in spec.columns
        ]
        source = _provenance(spec, own, everything)
        rows.append([*_describe_row(key), *_say_once(row), *source])
        if any(cell in distances for cell in own):
            rows.append(_subtract_print(spec, key, own, distances, footnotes))
    footnotes.notes += [_describe_statement(*found) for found in stated.items()]
    header = [*spec.rows, *(column.header for column in spec.columns)]
    return Table(
        name=f"{spec.stem}-{profile_name}",
        title=f"{spec.kind.capitalize()} {spec.name} ({profile_name}): {spec.title}",
        text=spec.text + (_OURS if any(map(_recipe_of, records.values())) and spec.papers else ""),
        command=(
            f"python -m benchmarks.reproduce --{spec.kind} {spec.name} "
            f"--profile {profile_name} --from-records"
        ),
        header=[*header, *_provenance_header(spec)],
        rows=rows,
        notes=footnotes.notes,
        protocols=_describe_protocols(profile.cells()),
        coverage=_describe_coverage(profile.cells(), records, printed),
        spent=_describe_time(records.values()),
        environment=environment.describe() if environment else "nothing measured",
        problems=problems,
    )


def _order_rows(spec: TableSpec, cells: list[Cell]) -> list[tuple[object, ...]]:
    """Keys of the rows: by number, then by task where rows have one, then as planned or printed."""
    tasks = list(dict.fromkeys(getattr(cell, "task", None) for cell in cells))

    def rank(key: tuple[object, ...]) -> tuple[list[int], int]:
        numbers = [part for part in key if isinstance(part, int)]
        task = dict(zip(spec.rows, key, strict=True)).get("task")
        return numbers, tasks.index(str(task)) if task else 0

    return sorted(dict.fromkeys(_row_key(spec, cell) for cell in cells), key=rank)


def _row_key(spec: TableSpec, cell: Cell) -> tuple[object, ...]:
    return tuple(getattr(cell, name, None) for name in spec.rows)


def _describe_key(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _describe_protocols(cells: list[Cell]) -> list[str]:
    named = dict.fromkeys(cell.rules for cell in cells if isinstance(cell, QualityCell))
    return [get_protocol(name).text for name in named]


def _describe_statement(cell: PrintedCell, stated: Quantity) -> str:
    """A printed sentence about two methods, as a note below the table."""
    where = " ".join(filter(None, (cell.task, cell.dataset)))
    return f"{cell.recipe}: {cell.model}, {where}: {stated.value:+g} {stated.unit}"


def _describe_row(key: tuple[object, ...]) -> list[Entry]:
    return [Entry(_describe_key(value), {"": value}) for value in key]


def _provenance_header(spec: TableSpec) -> list[str]:
    if not spec.papers:
        return []
    return ["source"] if "protocol" in spec.rows else ["source", "protocol"]


def _provenance(spec: TableSpec, cells: list[Cell], records: Mapping[Cell, Record]) -> list[Entry]:
    """Where a row's numbers come from, and by which protocol."""
    found = [records[cell] for cell in cells if cell in records]
    sources = sorted({_describe_source(record) for record in found if record.status == "ok"})
    protocols = sorted({c.protocol for c in cells if isinstance(c, (QualityCell, PrintedCell))})
    texts = (", ".join(sources) or "not measured", ", ".join(protocols))
    return [Entry(text, {"": text}) for text in texts[: len(_provenance_header(spec))]]


def _recipe_of(record: Record) -> str | None:
    """The recipe of weights that this project trained, where some were measured."""
    result = record.result
    return result.trained if isinstance(result, (QualityResult, TrainingResult)) else None


def _describe_source(record: Record) -> str:
    """Print, a measurement, or a measurement of weights that this project trained."""
    recipe = _recipe_of(record)
    return f"ours, recipe {recipe}" if recipe else record.source


def _subtract_print(
    spec: TableSpec,
    key: tuple[object, ...],
    cells: list[Cell],
    distances: Mapping[Cell, Distance],
    footnotes: _Footnotes,
) -> list[Entry]:
    """The row below a measured one: what it differs by from the printed row of its method."""
    found = [distances[cell] for cell in cells if cell in distances]
    names = dict(zip(spec.rows, key, strict=True))
    names["model"] = f"{names['model']} - {found[0].twin.method}"
    row = _describe_row(tuple(names.values()))
    for column in spec.columns:
        shown = [distances[cell] for cell in _select(column, cells) if cell in distances]
        entry = format_distance(column, shown[0]) if shown else Entry(MISSING)
        if shown and (partial := shown[0].partial):
            mark = footnotes.mark(_describe_partial(shown[0].cell.dataset, partial))
            entry = Entry(entry.text + mark, entry.values)
        row.append(entry)
    texts = ("measured - printed", found[0].twin.protocol)
    row += [Entry(text, {"": text}) for text in texts[: len(_provenance_header(spec))]]
    return row


def _describe_partial(dataset: str, coverage: str) -> str:
    return f"{dataset}: {coverage} images"


def _say_once(row: list[Entry]) -> list[Entry]:
    """A row whose only entries are one and the same reason, which then stands there once."""
    reasons = [entry for entry in row if entry.text != MISSING]
    texts = {entry.text for entry in reasons}
    if len(texts) != 1 or not all("status" in entry.values for entry in reasons):
        return row
    return [
        Entry("", entry.values) if entry.text in texts and entry is not reasons[0] else entry
        for entry in row
    ]


def _describe_coverage(
    planned: list[Cell], records: Mapping[Cell, Record], printed: Mapping[Cell, Record]
) -> str:
    valued = [records[cell] for cell in planned if cell in records and records[cell].status == "ok"]
    partial = sum(bool(getattr(record.result, "partial", None)) for record in valued)
    text = f"{len(valued)} of {len(planned)} planned cells have values"
    if partial:
        text += f", {partial} of them of partial sets"
    if printed:
        values = sum(len(list(record.result.quantities())) for record in printed.values())
        text += f"; {values} printed values are shown"
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


def _select(column: Column, cells: list[Cell]) -> list[Cell]:
    """The cells of a row that a column shows."""
    return [
        cell
        for cell in cells
        if cell.kind == column.kind
        and all(getattr(cell, name, None) == value for name, value in column.where.items())
    ]


def _fill(
    column: Column,
    cells: list[Cell],
    planned: list[Cell],
    records: Mapping[Cell, Record],
    footnotes: _Footnotes,
    profile_name: str,
) -> Entry:
    """The entry of a row's cells, or why there is none; `planned` are those of all profiles."""
    wanted = _select(column, cells)
    if not wanted:
        if _select(column, planned):
            return Entry(MISSING + footnotes.mark(f"not part of profile {profile_name}"))
        return Entry(MISSING)
    record = records.get(wanted[0])
    if record is None:
        reason = f"not measured: run without --from-records (profile {profile_name})"
        return Entry(MISSING + footnotes.mark(reason), {"status": "missing"})
    if record.status != "ok":
        mark = footnotes.mark(record.reason.splitlines()[0])
        status = {"status": record.status}
        if record.result.quantity(column.metric):
            entry = format_result(column, record.result)
            return Entry(entry.text + mark, {**entry.values, **status})
        return Entry(record.status + mark, status)
    entry = format_result(column, record.result)
    if isinstance(record.result, AttentionRun) and record.result.clamped:
        mark = footnotes.mark("k is clamped to the N tokens of the window")
        return Entry(entry.text + mark, entry.values)
    if isinstance(record.result, QualityResult) and record.result.partial:
        mark = footnotes.mark(_describe_partial(column.where["dataset"], record.result.partial))
        return Entry(entry.text + mark, entry.values)
    return entry
