"""One table or study reproduced: measure what is missing, render what is recorded, judge claims."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.plan.paper_rows import load_printed
from benchmarks.plan.runner import Run, measure_cells
from benchmarks.plan.specs import Profile, TableSpec
from benchmarks.records.cell import Cell
from benchmarks.records.environment import Environment, capture_environment
from benchmarks.records.record import Record, RecordStore
from benchmarks.report.claims import answer_study, judge_claims
from benchmarks.report.index import SMOKE, write_index
from benchmarks.report.judgment import Judgment
from benchmarks.report.plots import draw_plot
from benchmarks.report.printed import judge_twins
from benchmarks.report.render import render_csv, render_latex, render_markdown, row_values
from benchmarks.report.series import Records
from benchmarks.report.summary import STUDIES, write_summary
from benchmarks.report.tables import Table, build_table
from kgt.cli import OnProgress
from kgt.files import write_atomically


class Reproduction:
    """A profile of a table or study, with its name, and its cells in the order of measuring.

    Records and checkpoints of trainings lie in the folder `results`.
    """

    def __init__(self, spec: TableSpec, name: str, profile: Profile, results: Path) -> None:
        self.spec, self.name, self.profile, self.results = spec, name, profile, results
        self.cells = profile.cells()
        self.store = RecordStore(results / "records" / f"{spec.file_stem(name)}.jsonl")

    def __str__(self) -> str:
        return f"{self.spec.kind} {self.spec.name}, profile {self.name} ({self.profile.about})"

    @property
    def place(self) -> str:
        """The folder of its pages within that of all pages."""
        return SMOKE if self.name == SMOKE else ""

    def start(self, command: str) -> Run:
        """A run in this environment, with the command line that its records keep."""
        checkpoints = self.results / "checkpoints"
        return Run(self.profile, self.store, capture_environment(), command, checkpoints)

    def build(self, environment: Environment | None) -> Report:
        """The report of what is recorded in an environment."""
        records = self.store.latest(self.cells, environment.key) if environment else {}
        everything = {**records, **load_printed(self.spec)}
        judgments = judge_claims(self.profile.claims, everything) + judge_twins(self.spec, records)
        problems = self.store.problems
        table = build_table(self.spec, self.name, self.profile, records, environment, problems)
        answer = answer_study(self.spec, everything)
        return Report(table, judgments, answer, records, everything)

    def render(self, folder: Path, environment: Environment | None) -> Report:
        """Write the report of what is recorded in an environment, and the pages that sum it up.

        Smoke tests lie in a folder of their own.
        """
        report = self.build(environment)
        table = report.table
        contents = {
            ".md": render_markdown(table, report.judgments, f"{table.name}.svg", report.answer),
            ".csv": render_csv(table),
            ".tex": render_latex(table),
            ".svg": draw_plot(self.spec.plot, table.title, report.everything),
        }
        for suffix, text in contents.items():
            write_atomically(folder / self.place / f"{table.name}{suffix}", text)
        if self.spec.kind == "study" and self.spec.name in STUDIES:
            write_summary(self.results, folder)
        write_index(folder)
        return report


def check_device(specs: Iterable[tuple[TableSpec, str, Profile]]) -> None:
    """Make sure that there is a GPU where a profile needs one.

    Raises:
        ValueError: naming the first that cannot be measured here.
    """
    for spec, name, profile in specs:
        if profile.needs_cuda and not torch.cuda.is_available():
            raise ValueError(
                f"{spec.kind} {spec.name}, profile {name} needs a CUDA device, and torch finds "
                "none; --from-records renders what is recorded"
            )


def measure(
    cells: list[Cell], run: Run, on_progress: OnProgress, on_record: Callable[[int, Record], None]
) -> None:
    """Measure cells.

    Args:
        cells: what to measure.
        run: what all have in common.
        on_progress: called with what is being done and how many cells are done, in fractions.
        on_record: called with the number of cells done and the last one's record.
    """
    done = 0

    def on_step(what: str, part: float) -> None:
        on_progress(what, done + part)

    for record in measure_cells(cells, replace(run, on_step=on_step)):
        done += 1
        on_record(done, record)


@dataclass(frozen=True)
class Report:
    """A table with its judged claims.

    Attributes:
        table, judgments: what is rendered.
        answer: what was found, in a sentence or two, empty of most tables.
        records: of cells that have one.
        everything: the records, and the printed ones.
    """

    table: Table
    judgments: list[Judgment]
    answer: str
    records: Records
    everything: Records

    def as_json(self) -> dict[str, object]:
        """Full-precision rows and the judged claims, for programs."""
        return {
            "table": self.table.name,
            "rows": row_values(self.table),
            "notes": self.table.notes,
            "coverage": self.table.coverage,
            "claims": [
                {name: getattr(judgment, name) for name in ("claim", "verdict", "evidence")}
                for judgment in self.judgments
            ],
            "environment": self.table.environment,
        }
