"""A page of records per table or study, which shows their list or the one its address names."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from benchmarks.records.cell import Cell as RecordCell
from benchmarks.records.cell import PrintedCell
from benchmarks.records.record import Record
from benchmarks.records.result import Quantity
from benchmarks.report.site.library import Exhibit, Library
from benchmarks.report.site.tables import Cell, make_view
from benchmarks.report.site.writer import Site

# What quantities are called; the first one that a result has speaks for it.
_NAMES = {
    "psnr": "PSNR",
    "ratio": "time / baseline",
    "peak": "peak memory",
    "live_tensors": "live tensors",
    "flops": "cost",
    "time": "time",
    "held_out": "held-out PSNR",
    "loss": "loss",
    "latency": "median time",
    "parameters": "parameters",
    "stated": "stated",
    "ssim": "SSIM",
}

_OF_THE_RUN = ("commit", "dirty", "timestamp")
_MOST_OLDER = 3
_OF_BYTES = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def describe_records(library: Library, records: Iterable[Record]) -> list[tuple[str, str, str]]:
    """Page, name and speaking value of records, each once."""
    found = {library.path_of(record): record for record in records}
    return [(path, record.cell.id, summarize(record)) for path, record in found.items()]


def summarize(record: Record) -> str:
    """The quantity that speaks for a record, or why it has none."""
    if record.status != "ok":
        return describe_status(record)
    quantities = record.result.quantities()
    name = next((name for name in _NAMES if name in quantities), None)
    return _describe_quantity(name, quantities[name]) if name else ""


def describe_status(record: Record) -> str:
    """The status of a record; weights or images that are not here are no fault of a method."""
    return "not available" if record.is_absent else record.status


def _describe_quantity(name: str, quantity: Quantity) -> str:
    return f"{_NAMES.get(name, name)} {format_quantity(quantity)}"


def format_quantity(quantity: Quantity) -> str:
    """A value with its unit and interval, to four digits; bytes in the unit that they fill."""
    unit, size = quantity.unit, 1
    if unit == "bytes":
        unit, size = next(
            ((name, size) for name, size in _OF_BYTES if abs(quantity.value) >= size), (unit, 1)
        )
    text = f"{_format_number(quantity.value / size)} {unit}".strip()
    if quantity.lo is not None and quantity.hi is not None:
        lo, hi = (_format_number(end / size) for end in (quantity.lo, quantity.hi))
        text += f" [{lo}, {hi}]"
    return text


def _format_number(value: float) -> str:
    """A number to four digits, but whole where it has more before the point."""
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:,.4g}"


class Entry(NamedTuple):
    """A record on its page.

    Attributes:
        record, summary: the record, and its quantity that speaks for it.
        older: a line for each of the newest records that it stands for.
        more: how many are older still.
        json: the record, with the environment only as far as it is of this run.
    """

    record: Record
    summary: str
    older: list[str]
    more: int
    json: str


def add(site: Site, library: Library) -> None:
    """Add the pages."""
    for exhibit in library.exhibits:
        _add_records(site, library, exhibit)
    _add_printed(site, library)


def _add_printed(site: Site, library: Library) -> None:
    """A page of all printed numbers, with a row per record."""
    rows = [
        [
            Cell(printed.model, style="pin"),
            Cell(printed.variant),
            Cell(printed.task or ""),
            Cell(printed.dataset or ""),
            Cell("; ".join(_describe_quantity(n, q) for n, q in quantities.items())),
            Cell(printed.source),
        ]
        for printed, quantities in _list_printed(library)
    ]
    header = ("method", "variant", "task", "set", "values", "source")
    view = make_view("printed", header, rows, ("task", "set", "source"))
    anchors = [printed.hash for printed, _ in _list_printed(library)]
    site.add_page("printed.html", "printed.html", view=view, anchors=anchors)


def _list_printed(library: Library) -> list[tuple[PrintedCell, dict[str, Quantity]]]:
    return [
        (cell, record.result.quantities())
        for cell, record in library.printed().items()
        if isinstance(cell, PrintedCell)
    ]


def _group_older(exhibit: Exhibit) -> dict[RecordCell, list[Record]]:
    """The records of each cell that a newer one, or one of another machine, stands for."""
    older: dict[RecordCell, list[Record]] = defaultdict(list)
    for record in exhibit.store.records:
        if record is not exhibit.report.records.get(record.cell):
            older[record.cell].append(record)
    return older


def _add_records(site: Site, library: Library, exhibit: Exhibit) -> None:
    older = _group_older(exhibit)
    records = exhibit.report.records
    entries = [_describe(record, older.get(cell, [])) for cell, record in records.items()]
    rows = [
        [
            Cell(entry.record.cell.id, library.path_of(entry.record), style="pin"),
            Cell(describe_status(entry.record)),
            Cell(entry.summary),
        ]
        for entry in entries
    ]
    site.add_page(
        exhibit.records_path,
        "records.html",
        exhibit=exhibit,
        view=make_view("records", ("cell", "status", "value"), rows, ("status",)),
        entries=entries,
    )


def _describe(record: Record, older: list[Record]) -> Entry:
    content = record.model_dump(mode="json", exclude_defaults=True)
    if environment := content.get("environment"):
        # The page of machines has the rest of the environment, and 1,500 records need not.
        content["environment"] = {name: environment[name] for name in _OF_THE_RUN}
    for quantity in content.get("metrics", {}).values():
        if "samples" in quantity:
            quantity["samples"] = _round(quantity["samples"])
    if scores := content.get("per_image"):
        content["per_image"] = _round(scores)
    return Entry(
        record,
        summarize(record),
        older=[_describe_older(one) for one in older[: -_MOST_OLDER - 1 : -1]],
        more=max(len(older) - _MOST_OLDER, 0),
        json=json.dumps(content, separators=(",", ":"), ensure_ascii=False),
    )


def _round(content: Any) -> Any:
    """Numbers at any depth to seven digits: a millionth of a decibel, in half the letters."""
    return json.loads(json.dumps(content), parse_float=lambda text: float(f"{float(text):.7g}"))


def _describe_older(record: Record) -> str:
    environment = record.environment
    if environment is None:
        return summarize(record)
    commit = (environment.commit or "no commit")[:12]
    return f"{environment.timestamp}, {commit}, environment {environment.key}: {summarize(record)}"
