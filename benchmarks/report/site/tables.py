"""Tables of a site: each number leads to its record, the best ones stand out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.plan.specs import Column
from benchmarks.report.entries import MISSING, Entry, is_missing
from benchmarks.report.render import render_csv, render_latex
from benchmarks.report.site.library import Exhibit, Library

# What a reader may filter by: names of a few values.
_FEWEST, _MOST = 2, 30
# Fields whose values compete with one another; rows that agree in all others are compared. Seeds
# of one arm do not compete, and ratios to different baselines are not compared.
_COMPETING = {"model", "backend", "contender", "recipe", "ran"}
# What says nothing of a row's method: the time of its baseline, how far a formula is off, and
# what was allowed.
_UNRANKED = {"baseline_latency", "peak_over_closed_form", "budget"}
_MORE_IS_BETTER = {"db", "quality", "psnr", "gain", "change"}
_LESS_IS_BETTER = {"mib", "ms", "s", "ratio", "interval"}


class Cell(NamedTuple):
    """A cell of a table.

    Attributes:
        text: what it shows.
        path: the page behind it, empty where it stands for itself.
        order: what it is sorted by, empty where that is its text.
        style: classes: "best", "second", "pin", "number", "missing".
    """

    text: str
    path: str = ""
    order: float | str = ""
    style: str = ""


class Filter(NamedTuple):
    """A choice of one value of a column."""

    column: int
    name: str
    values: list[str]


@dataclass(frozen=True)
class TableView:
    """A table that people sort and search.

    Attributes:
        key: names it on its page, and in the page's address.
        header, rows: of columns, and the cells of each row.
        keys: by row and column what is sorted, None in columns that are sorted by their text.
        filters: what can be chosen.
        empty: columns that are left out since they have no value.
        forms: the table as text to copy, by the name of the form.
    """

    key: str
    header: list[str]
    rows: list[list[Cell]]
    keys: list[list[float | str | None]]
    filters: list[Filter]
    empty: list[str]
    forms: dict[str, str]


def make_view(
    key: str,
    header: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    filtered: Sequence[str] = (),
    forms: dict[str, str] | None = None,
    offered: Mapping[str, Sequence[str]] | None = None,
) -> TableView:
    """A table without columns that have no value, with filters of columns that have a few.

    Args:
        key: names it.
        header: the names of all columns.
        rows: cells of all columns.
        filtered: the columns that are filtered, by name.
        forms: the table as text to copy.
        offered: by column, values that its filter offers though no row may have them.
    """
    empty = [n for n in range(len(header)) if rows and all(is_missing(row[n].text) for row in rows)]
    kept = [n for n in range(len(header)) if n not in empty]
    cells = [[row[n] for n in kept] for row in rows]
    names = [header[n] for n in kept]
    filters = []
    for column, name in enumerate(names):
        values = dict.fromkeys(
            [row[column].text for row in cells] + [*(offered or {}).get(name, ())]
        )
        if name in filtered and _FEWEST <= len(values) <= _MOST:
            filters.append(Filter(column, name, [*values]))
    columns = [_list_keys(column) for column in zip(*cells, strict=True)]
    keys = [list(row) for row in zip(*columns, strict=True)]
    return TableView(key, names, cells, keys, filters, [header[n] for n in empty], forms or {})


def _list_keys(column: Sequence[Cell]) -> Sequence[float | str | None]:
    """What a column is sorted by; beside numbers, what has none is empty as the script sees it."""
    if any(isinstance(cell.order, float) for cell in column):
        return [cell.order if isinstance(cell.order, float) else MISSING for cell in column]
    if any(cell.order not in ("", cell.text) for cell in column):
        return [cell.order or cell.text for cell in column]
    return [None] * len(column)


def view_exhibit(library: Library, exhibit: Exhibit) -> TableView:
    """The table of an exhibit, with the rows of which nothing is measured at its end.

    The first column with a model's or contender's name is pinned.
    """
    table, spec = exhibit.report.table, exhibit.spec
    styles = _rank_values(exhibit)
    named = [n for n, name in enumerate(spec.rows) if name in ("model", "contender", "backend")]
    pinned = named[0] if named else 0
    rows = []
    for index, row in enumerate(table.rows):
        cells = []
        for column, entry in enumerate(row):
            path = library.path_of(entry.record) if entry.record and entry.text else ""
            style = styles.get((index, column), "")
            if column == pinned:
                style = "pin"
            elif entry.text and is_missing(entry.text):
                style = "missing"
            cells.append(Cell(entry.text, path, _order(entry), style))
        rows.append(cells)
    values = slice(len(spec.rows), len(spec.rows) + len(spec.columns))
    rows.sort(key=lambda cells: all(is_missing(cell.text) for cell in cells[values]))
    forms = {"CSV": render_csv(table), "LaTeX": render_latex(table)}
    return make_view("table", table.header, rows, [*spec.rows, "source"], forms)


def _order(entry: Entry) -> float | str:
    """The number that an entry is sorted by; what has none goes by its text."""
    for value in entry.values.values():
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            return float(f"{value:.8g}")
    return "" if is_missing(entry.text) else entry.text


def _rank_values(exhibit: Exhibit) -> dict[tuple[int, int], str]:
    """By row and column: whether a value is the best, or second to it, of those it competes with.

    Rows compete where they agree in all fields but those that name a method. Differences to quoted
    rows, and columns of which neither more nor less is better or which say nothing of the method,
    are left out.
    """
    table, spec = exhibit.report.table, exhibit.spec
    fields = [n for n, name in enumerate(spec.rows) if name not in _COMPETING]
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, row in enumerate(table.rows):
        groups[tuple(row[n].text for n in fields)].append(index)
    styles = {}
    for number, column in enumerate(spec.columns, start=len(spec.rows)):
        better = _direction(column)
        if not better:
            continue
        for rows in groups.values():
            values = {
                index: better * order
                for index in rows
                if (entry := table.rows[index][number]).record is not None
                and not _is_difference(exhibit, index)
                and isinstance(order := _order(entry), float)
            }
            distinct = sorted(set(values.values()), reverse=True)
            if len(distinct) < 2:
                continue
            for index, value in values.items():
                if value == distinct[0]:
                    styles[index, number] = "best"
                elif value == distinct[1]:
                    styles[index, number] = "second"
    return styles


def _direction(column: Column) -> int:
    """1 where more is better, -1 where less is, 0 where values are not ranked."""
    if column.metric in _UNRANKED:
        return 0
    if column.format in _MORE_IS_BETTER:
        return 1
    return -1 if column.format in _LESS_IS_BETTER else 0


def _is_difference(exhibit: Exhibit, index: int) -> bool:
    """Whether a row is what another one differs by from a quoted one."""
    sources = exhibit.report.table.rows[index][-2:]
    return any(entry.text.startswith("measured - ") for entry in sources)
