"""A table as data: a pure function of a specification and records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.plan.paper_rows import load_printed
from benchmarks.plan.specs import Column, Profile, TableSpec
from benchmarks.records.cell import Cell
from benchmarks.records.environment import Environment
from benchmarks.records.record import Record
from benchmarks.report.entries import MISSING, Entry, format_distance, format_record
from benchmarks.report.printed import Distance, measure_distances
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
    distances = {distance.cell: distance for distance in measure_distances(spec, records)}
    stated = {cell: r for cell, r in printed.items() if "stated" in r.metrics}
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
    footnotes.notes += map(_describe_statement, stated.values())
    header = [*spec.rows, *(column.header for column in spec.columns)]
    return Table(
        name=f"{spec.stem}-{profile_name}",
        title=f"{spec.kind.capitalize()} {spec.name} ({profile_name}): {spec.title}",
        text=spec.text + (_OURS if any(map(_is_ours, records.values())) and spec.papers else ""),
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
    tasks = list(dict.fromkeys(cell.task for cell in cells))

    def place(key: tuple[object, ...]) -> tuple[list[int], int]:
        numbers = [part for part in key if isinstance(part, int)]
        task = dict(zip(spec.rows, key, strict=True)).get("task")
        return numbers, tasks.index(str(task)) if task else 0

    return sorted(dict.fromkeys(_row_key(spec, cell) for cell in cells), key=place)


def _row_key(spec: TableSpec, cell: Cell) -> tuple[object, ...]:
    return tuple(getattr(cell, name) for name in spec.rows)


def _describe_key(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _describe_protocols(cells: list[Cell]) -> list[str]:
    named = dict.fromkeys(cell.protocol.partition("@")[0] for cell in cells if cell.protocol)
    return [get_protocol(name).text for name in named]


def _describe_statement(record: Record) -> str:
    """What a text says of two methods, as a note below the table."""
    cell, metric = record.cell, record.metrics["stated"]
    where = " ".join(filter(None, (cell.task, cell.dataset)))
    return f"{cell.recipe}: {cell.model}, {where}: {metric.value:+g} {metric.unit}"


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
    protocols = sorted({cell.protocol for cell in cells if cell.protocol})
    texts = (", ".join(sources) or "not measured", ", ".join(protocols))
    return [Entry(text, {"": text}) for text in texts[: len(_provenance_header(spec))]]


def _is_ours(record: Record) -> bool:
    """Whether it is a measurement of weights that this project trained."""
    return "trained" in record.checks


def _describe_source(record: Record) -> str:
    """Print, a measurement, or a measurement of weights that this project trained."""
    return f"ours, recipe {record.checks['trained']}" if _is_ours(record) else record.source


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
        cell = next((cell for cell in _select(column, cells) if cell in distances), None)
        row.append(Entry(MISSING) if cell is None else format_distance(column, distances[cell]))
        if cell is not None and (partial := distances[cell].partial):
            mark = footnotes.mark(_describe_partial(cell, partial))
            row[-1] = Entry(row[-1].text + mark, row[-1].values)
    texts = ("measured - printed", found[0].twin.protocol)
    row += [Entry(text, {"": text}) for text in texts[: len(_provenance_header(spec))]]
    return row


def _describe_partial(cell: Cell, coverage: str) -> str:
    return f"{cell.dataset}: {coverage} images"


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
    partial = sum("partial" in record.checks for record in valued)
    text = f"{len(valued)} of {len(planned)} planned cells have values"
    if partial:
        text += f", {partial} of them of partial sets"
    if printed:
        values = sum(len(record.metrics) for record in printed.values())
        text += f"; {values} printed values are shown"
    return text


def _describe_time(records: Iterable[Record]) -> str:
    """Seconds of the cells that time calls, and the share spent outside of these calls."""
    timed = [r.metrics for r in records if "called" in r.metrics and "wall" in r.metrics]
    if not timed:
        return ""
    called, wall = (sum(metrics[name].value for metrics in timed) for name in ("called", "wall"))
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
        and all(getattr(cell, name) == value for name, value in column.where.items())
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
        if column.metric in record.metrics:
            entry = format_record(column, record)
            return Entry(entry.text + mark, {**entry.values, **status})
        return Entry(record.status + mark, status)
    entry = format_record(column, record)
    if record.checks.get("clamped"):
        mark = footnotes.mark("k is clamped to the N tokens of the window")
        return Entry(entry.text + mark, entry.values)
    if "partial" in record.checks:
        mark = footnotes.mark(_describe_partial(record.cell, record.checks["partial"]))
        return Entry(entry.text + mark, entry.values)
    return entry
