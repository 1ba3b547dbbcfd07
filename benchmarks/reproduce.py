"""Reproduce a table of the paper, or a study: measure what is missing, render, judge the claims.

Exit codes: 0 fine, 1 a claim fails, 2 wrong use or nothing measured, 3 something could not be
measured or the run was interrupted. Records are written as cells finish, so a run that ends early
is resumed by the same command.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from benchmarks.plan.paper_rows import load_printed
from benchmarks.plan.runner import Run, measure_cell, valid_records
from benchmarks.plan.specs import PROFILES, Kind, Profile, TableSpec, get_spec, load_specs
from benchmarks.records.cell import Cell
from benchmarks.records.environment import Environment, capture_environment
from benchmarks.records.record import Record, RecordStore
from benchmarks.report.claims import judge_claims
from benchmarks.report.index import write_index
from benchmarks.report.judgment import Judgment
from benchmarks.report.plots import draw_plot
from benchmarks.report.printed import judge_twins
from benchmarks.report.render import render_csv, render_latex, render_markdown, row_values
from benchmarks.report.tables import Table, build_table

FINE, FELL_SHORT, WRONG_USE, FAILURE = 0, 1, 2, 3
_console = Console(stderr=True, highlight=False, soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reproduce", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--table", metavar="N", help="table number, semanir:N, or all")
    what.add_argument("--study", metavar="NAME", help="study by its name, or all")
    what.add_argument("--list", action="store_true", help="list tables, numberings and studies")
    parser.add_argument("--profile", choices=PROFILES, help="extent (default: its own)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be measured")
    parser.add_argument("--from-records", action="store_true", help="render only, measure nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what is recorded")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    parser.add_argument("--reports", type=Path, default=Path("reports"), metavar="DIR")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        _print_list()
        return FINE
    kind: Kind = "table" if options.study is None else "study"
    command = shlex.join(["python", "-m", "benchmarks.reproduce", *(arguments or sys.argv[1:])])
    try:
        specs = _choose_specs(kind, options.study or options.table, options.profile)
        if not options.from_records:
            _check_device(specs)
    except ValueError as error:
        _console.print(f"reproduce: {error}")
        return WRONG_USE
    try:
        codes, documents = zip(*(reproduce(*spec, options, command) for spec in specs), strict=True)
    except KeyboardInterrupt:
        _console.print("interrupted; finished cells are kept, the same command resumes")
        return FAILURE
    if options.json:
        print(json.dumps(documents[0] if len(documents) == 1 else documents, indent=1))
    return max(codes)


def _choose_specs(
    kind: Kind, name: str, profile: str | None
) -> list[tuple[TableSpec, str, Profile]]:
    """The table or study asked for; of "all", those that have the profile."""
    if name != "all":
        spec = get_spec(name, kind)
        return [(spec, *spec.profile(profile))]
    specs = [s for s in load_specs(kind).values() if profile is None or profile in s.profiles]
    if not specs:
        raise ValueError(f"no {kind} has the profile {profile!r}; --list shows which have which")
    return [(spec, *spec.profile(profile)) for spec in specs]


def _check_device(specs: list[tuple[TableSpec, str, Profile]]) -> None:
    for spec, name, profile in specs:
        if any(cell.device for cell in profile.cells()) and not torch.cuda.is_available():
            raise ValueError(
                f"{spec.kind} {spec.name}, profile {name} needs a CUDA device, and torch finds "
                "none; --from-records renders what is recorded"
            )


def reproduce(
    spec: TableSpec, name: str, profile: Profile, options: argparse.Namespace, command: str
) -> tuple[int, dict[str, object]]:
    """Plan, measure, render and judge one of them; returns an exit code and the table as JSON."""
    store = RecordStore(options.results / "records" / f"{spec.stem}-{name}.jsonl")
    for problem in store.problems:
        _console.print(f"unreadable record skipped: {problem}")
    cells = profile.cells()
    environment: Environment | None
    if options.from_records:
        environment = store.newest_environment(cells)
    else:
        environment = capture_environment()
        run = Run(profile, store, environment, command, options.results / "checkpoints")
        recorded = {} if options.fresh else valid_records(run)
        missing = [cell for cell in cells if cell not in recorded]
        _console.print(
            f"{spec.kind} {spec.name}, profile {name} ({profile.about}): {len(cells)} cells, "
            f"{len(recorded)} recorded, {len(missing)} to measure"
        )
        if options.dry_run:
            plan = {cell: "recorded" if cell in recorded else "measure" for cell in cells}
            if not options.json:
                for cell, state in plan.items():
                    print(f"{state:8} {cell.hash} {cell.id}")
            return FINE, {"plan": {cell.id: state for cell, state in plan.items()}}
        _measure(missing, run)
    records = store.latest(cells, environment.key) if environment else {}
    everything = {**records, **load_printed(spec)}
    judgments = [*judge_claims(profile.claims, everything), *judge_twins(spec, records)]
    table = build_table(spec, name, profile, records, environment, store.problems)
    _write(table, judgments, draw_plot(spec.plot, table.title, everything), options.reports)
    _console.print(f"wrote {options.reports}/{table.name}.md, .csv, .tex, .svg")
    for judgment in judgments:
        _console.print(f"  {judgment.verdict}: {judgment.claim} ({judgment.evidence})")
    return _exit_code(records, judgments), _as_json(table, judgments)


def _exit_code(records: Mapping[Cell, Record], judgments: list[Judgment]) -> int:
    failed = [record for record in records.values() if record.status in ("failed", "timeout")]
    for record in failed:
        _console.print(f"  {record.status}: {record.cell.id}: {record.reason}")
    if failed:
        return FAILURE
    if any(judgment.verdict == "FAILS" for judgment in judgments):
        return FELL_SHORT
    if not any(record.status == "ok" for record in records.values()):
        _console.print("  nothing was measured")
        return WRONG_USE
    return FINE


def _measure(cells: list[Cell], run: Run) -> None:
    with _progress(len(cells)) as (advance, on_step):
        run = replace(run, on_step=on_step)
        for cell in cells:
            on_step(cell.id, 0.0)
            record = measure_cell(cell, run)
            advance(cell, record)


@contextmanager
def _progress(
    total: int,
) -> Iterator[tuple[Callable[[Cell, Record], None], Callable[[str, float], None]]]:
    """A bar on a terminal; elsewhere a line per finished cell."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}"),
        console=_console,
        disable=not _console.is_terminal,
    )
    done = 0
    with bar:
        task = bar.add_task(f"{total} cells", total=total, what="")
        inner = bar.add_task("this cell", total=1.0, what="", visible=False)

        def advance(cell: Cell, record: Record) -> None:
            nonlocal done
            done += 1
            bar.advance(task)
            bar.reset(inner, total=1.0, visible=False)
            if not _console.is_terminal:
                _console.print(f"[{done}/{total}] {record.status} {cell.id}", markup=False)

        def on_step(what: str, fraction: float) -> None:
            bar.update(inner, completed=fraction, what=what, visible=True)

        yield advance, on_step


def _write(table: Table, judgments: list[Judgment], plot: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        ".md": render_markdown(table, judgments, f"{table.name}.svg"),
        ".csv": render_csv(table),
        ".tex": render_latex(table),
        ".svg": plot,
    }
    for suffix, text in contents.items():
        (folder / f"{table.name}{suffix}").write_text(text, encoding="utf-8", newline="\n")
    write_index(folder)


def _as_json(table: Table, judgments: list[Judgment]) -> dict[str, object]:
    return {
        "table": table.name,
        "rows": row_values(table),
        "notes": table.notes,
        "coverage": table.coverage,
        "claims": [vars(judgment) for judgment in judgments],
        "environment": table.environment,
    }


def _print_list() -> None:
    catalog = yaml.safe_load(
        (Path(__file__).parent / "plan" / "catalog.yaml").read_text(encoding="utf-8")
    )
    specs = load_specs()
    print("--table N is the numbering of the ICLR-2024 submission, semanir:N that of the NeurIPS")
    print("paper; the numbering of arXiv 2402.02634 itself could not be recovered.")
    for number, entry in catalog.items():
        alias = f" (semanir:{entry['semanir']})" if entry["semanir"] else ""
        print(f"  {number}{alias}: {entry['content']} -- {_describe_profiles(specs[number])}")
    print("--study NAME is one of:")
    for spec in load_specs("study").values():
        print(f"  {spec.name}: {spec.title} -- {_describe_profiles(spec)}")
    print("* is the default profile.")


def _describe_profiles(spec: TableSpec) -> str:
    names = [name + "*" * (name == spec.default_profile) for name in spec.profiles]
    return f"profiles: {', '.join(names)}"


if __name__ == "__main__":
    sys.exit(main())
