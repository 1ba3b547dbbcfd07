"""Specifications of tables and studies: YAML that names cells, rows, columns, claims and plot.

A table is one of the paper's; a study answers a question of our own by the same means.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from benchmarks.records.cell import Cell, CellKind, expand, list_points
from benchmarks.records.result import RESULTS
from benchmarks.tasks import get_task
from kgt.errors import quote, unknown

SpecKind = Literal["table", "study"]
ProfileName = Literal["smoke", "cpu", "gpu"]
PROFILES: tuple[ProfileName, ...] = get_args(ProfileName)
Magnitude = Literal["mib", "mflop", "gmac", "ms", "s", "percent", "count"]
Score = Literal["db", "change", "ratio", "interval", "quality", "psnr", "gain"]
_SPECS = Path(__file__).with_name("specs")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Strict):
    """A column of a table: which cell of the row it shows, and which of its metrics.

    Attributes:
        header: what stands above it, with the fields of `where` in braces and in {level} the
            level of its task, such as the s25 of denoise-gray-s25.
        kind, where: kind and further fields of the cell; a list stands for as many columns.
        metric: name of the metric, or of the check if `format` is "text"; "quality" shows PSNR
            and SSIM and needs none.
        format: how a value is printed.
    """

    header: str
    kind: CellKind
    where: dict[str, Any] = {}
    metric: str = ""
    format: Magnitude | Score | Literal["text"]

    @model_validator(mode="after")
    def _check_names(self) -> Column:
        cells = [cell for cell, kind in RESULTS if kind == self.kind]
        results = [result for (_, kind), result in RESULTS.items() if kind == self.kind]
        _check_known("field", self.where, (name for cell in cells for name in cell.model_fields))
        # The scores of a quality cell are named by its protocol.
        if self.metric and self.kind != "quality":
            known = (
                name
                for result in results
                for name in (*result.model_fields, *result.model_computed_fields)
            )
            _check_known("metric", [self.metric], known)
        return self

    def expand(self) -> list[Column]:
        """The columns that the lists of `where` stand for; the last one varies fastest."""
        columns = []
        for where in list_points(self.where):
            level = get_task(where["task"]).variant if "task" in where else ""
            header = self.header.format(**where, level=level)
            columns.append(self.model_copy(update={"header": header, "where": where}))
        return columns


def _check_known(what: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = dict.fromkeys(known)
    for name in names:
        if name not in known:
            raise unknown(what, name, known)


class Paper(_Strict):
    """A file of printed numbers and how its words are ours.

    Attributes:
        file: name of the CSV.
        source: where its rows are printed.
        tasks: our task (None: any) by the part of a printed setting that names one, or by the set
            where no setting does; other rows belong to other tables.
        variants: our names of the variants of a method, by the last part of a setting.
        datasets: our names of sets whose printed name differs.
    """

    file: str
    source: str = "as printed"
    tasks: dict[str, str | None]
    variants: dict[str, str] = {}
    datasets: dict[str, str] = {}


class Twin(_Strict):
    """A printed method that is measured here, too, by our model and the protocol of the print.

    The measured PSNR of a complete set may lie `within` so many dB of the printed one.
    """

    method: str
    model: str
    protocol: str
    within: float


class Shown(_Strict):
    """What the page of a large table shows before the fold, where counting cannot tell.

    Attributes:
        columns: their headers, those without values left out; none leaves them to counting.
        where: values of the fields that the shown rows have, and those of others that are shown,
            too; "" is a field that is not set.
    """

    columns: tuple[str, ...] = ()
    where: tuple[dict[str, tuple[int | str, ...]], ...] = ()


class Profile(_Strict):
    """The extent of a table's measurement.

    Attributes:
        about: one line for people.
        common: axes that every grid has unless it sets them itself.
        grids: axes of cells, expanded in order.
        memory_limit_mib, timeout_s: what one cell may allocate, and the seconds that it may take.
        budget_s: seconds of interleaved rounds after which a latency cell stops.
        claims: claims that this extent can judge.
    """

    about: str
    # YAML's merge keys would do, but chained ones lose their overrides in PyYAML 6.0.4.
    common: dict[str, Any] = {}
    grids: tuple[dict[str, Any], ...]
    memory_limit_mib: int = 4096
    budget_s: float = 2.0
    timeout_s: float = 900.0
    claims: tuple[str, ...] = ()

    @property
    def limits(self) -> tuple[float, ...]:
        """What bounds each cell; a record made under other limits is not this profile's."""
        return (self.memory_limit_mib, self.budget_s, self.timeout_s)

    @property
    def needs_cuda(self) -> bool:
        """Whether cells are measured on a CUDA device."""
        return any(getattr(cell, "device", None) == "cuda" for cell in self.cells())

    def cells(self) -> list[Cell]:
        """All cells in the order they are measured."""
        return [cell for grid in self.grids for cell in expand({**self.common, **grid})]


class TableSpec(_Strict):
    """One table, or a study that is laid out like one.

    Attributes:
        kind: "table" of the paper or "study" of our own.
        name, aliases: a table's number in the ICLR-2024 numbering or a study's name, and others.
        title, text: heading, and what a reader must know below it.
        default_profile, profiles: extents by name, and which is meant when none is named.
        rows, columns: cell fields that make a row, and the columns after these fields.
        papers: files of printed numbers whose rows are shown below the measured ones.
        twins: printed methods that are measured here, too.
        shown: what the page shows before the fold, where that is not left to the claims.
        plot: name of the plot, a module of `benchmarks.report.plots`.
    """

    kind: SpecKind = "table"
    name: str
    aliases: tuple[str, ...] = ()
    title: str
    text: str
    default_profile: str
    profiles: dict[ProfileName, Profile]
    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    papers: tuple[Paper, ...] = ()
    twins: tuple[Twin, ...] = ()
    shown: Shown | None = None
    plot: str

    @field_validator("rows")
    @classmethod
    def _check_rows(cls, rows: tuple[str, ...]) -> tuple[str, ...]:
        fields = (name for cell, _ in RESULTS for name in (*cell.model_fields, *vars(cell)))
        _check_known("field", rows, (name for name in fields if not name.startswith("_")))
        return rows

    @field_validator("columns")
    @classmethod
    def _expand_columns(cls, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        return tuple(one for column in columns for one in column.expand())

    @model_validator(mode="after")
    def _check_shown(self) -> TableSpec:
        if self.shown:
            headers = [*self.rows, *(column.header for column in self.columns)]
            _check_known("column", self.shown.columns, headers)
            _check_known("field", chain(*self.shown.where), self.rows)
        return self

    @property
    def stem(self) -> str:
        """First part of the names of its files, e.g. "table3" or "study-attention-axes"."""
        return f"{self.kind}{'' if self.name.isdecimal() else '-'}{self.name}"

    def file_stem(self, profile_name: str) -> str:
        """What the files of a profile are called, records and pages alike, e.g. "table3-cpu"."""
        return f"{self.stem}-{profile_name}"

    def profile(self, name: str | None) -> tuple[str, Profile]:
        """A profile by name (None: the default) with its name.

        Raises:
            ValueError: when there is none of that name, listing those it has.
        """
        name = name or self.default_profile
        found = {str(key): profile for key, profile in self.profiles.items()}
        if name not in found:
            valid = ", ".join(found)
            raise ValueError(
                f"{self.kind} {self.name} has no profile {quote(name)}; valid: {valid}"
            )
        return name, found[name]


@cache
def load_specs(kind: SpecKind = "table") -> dict[str, TableSpec]:
    """Every specification of a kind by its name, numbers first."""
    specs = [
        TableSpec.model_validate(yaml.safe_load(path.read_text()))
        for path in _SPECS.glob(f"{kind}*.yaml")
    ]
    specs.sort(key=lambda spec: (not spec.name.isdecimal(), spec.name))
    return {spec.name: spec for spec in specs}


def get_spec(name: str, kind: SpecKind = "table") -> TableSpec:
    """Look a specification up by its name or an alias such as "semanir:1".

    Raises:
        ValueError: for a table or study that cannot be reproduced, listing those that can.
    """
    specs = load_specs(kind).values()
    named = {own: spec for spec in specs for own in (spec.name, *spec.aliases)}
    if name not in named:
        raise unknown(kind, name, named)
    return named[name]


def choose_specs(
    kind: SpecKind, name: str, profile: str | None
) -> list[tuple[TableSpec, str, Profile]]:
    """The table or study of a name, or "all" that have a profile, with its name and the profile.

    Raises:
        ValueError: as `get_spec` and `TableSpec.profile`, or where none has the profile.
    """
    specs = [s for s in load_specs(kind).values() if profile is None or profile in s.profiles]
    if name != "all":
        specs = [get_spec(name, kind)]
    if not specs:
        raise ValueError(
            f"no {kind} has the profile {quote(profile)}; --list shows which have which"
        )
    return [(spec, *spec.profile(profile)) for spec in specs]
