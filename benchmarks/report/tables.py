"""A table as data: a pure function of a specification and records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.measure.environment import Environment
from benchmarks.plan.cells import Cell
from benchmarks.plan.paper_rows import load_paper_records
from benchmarks.plan.records import Metric, Record
from benchmarks.plan.specs import Column, Profile, TableSpec

_MISSING = "-"


@dataclass(frozen=True)
class Entry:
    """One entry: its text for people and its numbers for programs, by column suffix."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict)


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
        environments: described, of the measured records.
        problems: record lines that could not be read.
    """

    name: str
    title: str
    text: str
    command: str
    header: list[str]
    rows: list[list[Entry]]
    notes: list[str]
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
    paper = []
    if spec.paper:
        task = next(cell.task for cell in profile.cells() if cell.task)
        paper = load_paper_records(spec.paper, spec.paper_setting, task)
    everything = {**records, **{record.cell: record for record in paper}}
    cells = [*profile.cells(), *(record.cell for record in paper)]
    footnotes = _Footnotes()
    rows = []
    keys = dict.fromkeys(_row_key(spec, cell) for cell in cells)
    for key in sorted(keys, key=lambda key: [part for part in key if isinstance(part, int)]):
        own = [cell for cell in cells if _row_key(spec, cell) == key]
        row = [Entry(_describe_key(value), {"": value}) for value in key]
        row += [_fill(column, own, everything, footnotes, profile_name) for column in spec.columns]
        if spec.paper:
            row += _provenance(own, everything)
        rows.append(row)
        if len({entry.text for entry in row[len(key) :]}) == 1:
            # One reason for a whole row is said once.
            row[len(key) + 1 :] = [Entry("", entry.values) for entry in row[len(key) + 1 :]]
    header = [*spec.rows, *(column.header for column in spec.columns)]
    return Table(
        name=f"{spec.stem}-{profile_name}",
        title=f"{spec.kind.capitalize()} {spec.name} ({profile_name}): {spec.title}",
        text=spec.text,
        command=(
            f"python -m benchmarks.reproduce --{spec.kind} {spec.name} "
            f"--profile {profile_name} --from-records"
        ),
        header=[*header, "source", "protocol"] if spec.paper else header,
        rows=rows,
        notes=footnotes.notes,
        environment=environment.describe() if environment else "nothing measured",
        problems=problems,
    )


def _row_key(spec: TableSpec, cell: Cell) -> tuple[object, ...]:
    return tuple(getattr(cell, name) for name in spec.rows)


def _describe_key(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _provenance(cells: list[Cell], records: Mapping[Cell, Record]) -> list[Entry]:
    """Where a row's numbers come from, and by which protocol."""
    sources = sorted({records[cell].source for cell in cells if cell in records})
    protocols = sorted({cell.protocol for cell in cells if cell.protocol})
    texts = (", ".join(sources) or "not measured", ", ".join(protocols))
    return [Entry(text, {"": text}) for text in texts]


def _fill(
    column: Column,
    cells: list[Cell],
    records: Mapping[Cell, Record],
    footnotes: _Footnotes,
    profile_name: str,
) -> Entry:
    wanted = [
        cell
        for cell in cells
        if cell.kind == column.kind
        and all(getattr(cell, name) == value for name, value in column.where.items())
    ]
    if not wanted:
        planned = any(cell.kind == column.kind and cell not in records for cell in cells)
        measured = any(records[cell].source == "measured" for cell in cells if cell in records)
        if column.where and (planned or measured):
            return Entry(_MISSING + footnotes.mark(f"not part of profile {profile_name}"))
        return Entry(_MISSING)
    record = records.get(wanted[0])
    if record is None:
        reason = f"not measured: run without --from-records (profile {profile_name})"
        return Entry(_MISSING + footnotes.mark(reason), {"status": "missing"})
    if record.status != "ok":
        mark = footnotes.mark(record.reason.splitlines()[0])
        status = {"status": record.status}
        if column.metric in record.metrics:
            entry = _format(column, record)
            return Entry(entry.text + mark, {**entry.values, **status})
        return Entry(record.status + mark, status)
    entry = _format(column, record)
    if record.checks.get("clamped"):
        mark = footnotes.mark("k is clamped to the N tokens of the window")
        return Entry(entry.text + mark, entry.values)
    if "partial" in record.checks:
        mark = footnotes.mark(f"{record.cell.dataset}: {record.checks['partial']} images")
        return Entry(entry.text + mark, entry.values)
    return entry


# Records hold bytes and FLOP; a column shows, to people and programs alike, what its header says.
_UNITS = {"mib": 2**20, "mflop": 1e6}

_FORMATS = {
    "mib": lambda m: f"{m.value / _UNITS['mib']:,.1f}",
    "mflop": lambda m: f"{m.value / _UNITS['mflop']:,.0f}",
    "ms": lambda m: f"{m.value:,.2f}",
    "ratio": lambda m: f"{m.value:.3f}",
    "interval": lambda m: f"{m.value:.3f} [{m.lo:.3f}, {m.hi:.3f}]",
    "percent": lambda m: f"{100 * m.value:.1f} %",
    "gain": lambda m: f"{m.value:+.2f} [{m.lo:+.2f}, {m.hi:+.2f}]",
    "count": lambda m: f"{m.value:,.0f}" if m.statistic == "exact" else f"{m.value / 1e6:.2f} M",
}


def _format(column: Column, record: Record) -> Entry:
    if column.format == "text":
        text = str(record.checks.get(column.metric, _MISSING))
        return Entry(text, {"": text})
    if column.format == "quality":
        psnr, ssim = record.metrics.get("psnr"), record.metrics.get("ssim")
        text = " / ".join([_decimals(psnr, 2), _decimals(ssim, 4)])
        return Entry(text, {"PSNR": psnr and psnr.value, "SSIM": ssim and ssim.value})
    metric = record.metrics.get(column.metric)
    if metric is None:
        return Entry(_MISSING)
    if column.format in ("interval", "gain") and metric.lo is None:
        return Entry(_MISSING)
    values: dict[str, object] = {"": metric.value / _UNITS.get(column.format, 1)}
    if metric.lo is not None:
        values |= {"lo": metric.lo, "hi": metric.hi}
    return Entry(_FORMATS[column.format](metric), values)


def _decimals(metric: Metric | None, digits: int) -> str:
    return _MISSING if metric is None else f"{metric.value:.{digits}f}"
