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
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.arguments import add_folders
from kgt.cli import Exit, Parser, add_json, run, say, show_progress

if TYPE_CHECKING:
    from benchmarks.plan.specs import SpecKind
    from benchmarks.records.record import Record
    from benchmarks.report.reproduction import Report, Reproduction

_say = partial(say, "reproduce")
_HEADINGS: dict[SpecKind, str] = {
    "table": "--table N is the numbering of the ICLR-2024 submission, semanir:N that of the "
    "NeurIPS\npaper; the numbering of arXiv 2402.02634 itself could not be recovered.",
    "study": "--study NAME is one of:",
}


def _build_parser() -> Parser:
    from benchmarks.plan.specs import PROFILES

    parser = Parser(
        prog="python -m benchmarks.reproduce",
        description=__doc__,
        examples=(
            "python -m benchmarks.reproduce --list",
            "python -m benchmarks.reproduce --table 3",
            "python -m benchmarks.reproduce --study small --profile cpu --dry-run",
        ),
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--table", metavar="N", help="table number, semanir:N, or all")
    what.add_argument("--study", metavar="NAME", help="study by its name, or all")
    what.add_argument(
        "--summary", action="store_true", help="the page on what the key-graph buys, from records"
    )
    what.add_argument("--list", action="store_true", help="list tables, numberings and studies")
    parser.add_argument("--profile", choices=PROFILES, help="extent (default: its own)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be measured")
    parser.add_argument("--from-records", action="store_true", help="render only, measure nothing")
    parser.add_argument("--fresh", action="store_true", help="measure again what is recorded")
    add_json(parser, "the table as JSON")
    add_folders(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> Exit:
    """Run the command line and return its exit code."""
    words = ["python", "-m", "benchmarks.reproduce", *(arguments or sys.argv[1:])]
    return run(
        lambda: _reproduce_all(_build_parser().parse_args(arguments), shlex.join(words)),
        "reproduce",
        kept="finished cells are kept, the same command resumes",
    )


def _reproduce_all(options: argparse.Namespace, command: str) -> Exit:
    if options.list:
        return _print_list()
    if options.summary:
        return _write_summary(options.results, options.reports)
    from benchmarks.plan.specs import choose_specs
    from benchmarks.report.reproduction import Reproduction, check_device

    kind: SpecKind = "table" if options.study is None else "study"
    specs = choose_specs(kind, options.study or options.table, options.profile)
    if options.from_records:
        _check_records(options.results)
    else:
        check_device(specs)
    results = [_reproduce(Reproduction(*spec, options.results), options, command) for spec in specs]
    codes, documents = zip(*results, strict=True)
    if options.table == "all" and not options.dry_run:
        _write_site(options.results, options.reports.with_name("site"))
    if options.json:
        print(json.dumps(documents[0] if len(documents) == 1 else documents, indent=1))
    return max(codes)


def _write_summary(results: Path, reports: Path) -> Exit:
    from benchmarks.report.index import write_index
    from benchmarks.report.summary import write_summary

    _check_records(results)
    _say(f"wrote {write_summary(results, reports)}")
    write_index(reports)
    return Exit.FINE


def _write_site(results: Path, folder: Path) -> None:
    """Write the site of all reports, where the packages are here that it needs."""
    if find_spec("altair") is None:
        _say("no site was written: pip install 'kgt[site]' adds what it needs")
        return
    from benchmarks.report.site.build import build_site

    build_site(results).write(folder)
    _say(f"wrote {folder}/index.html")


def _check_records(results: Path) -> None:
    """Make sure that there is something to render.

    Raises:
        ValueError: there is no folder of records.
    """
    folder = results / "records"
    if not folder.is_dir():
        raise ValueError(
            f"there is no folder {folder} of records; --results names the folder that has it, and "
            "without --from-records it is made"
        )


def _reproduce(
    work: Reproduction, options: argparse.Namespace, command: str
) -> tuple[Exit, dict[str, object]]:
    """Plan, measure, render and judge one of them; returns an exit code and the table as JSON."""
    from benchmarks.plan.runner import plan_cells
    from benchmarks.report.reproduction import measure

    def print_record(done: int, record: Record) -> None:
        line = f"[{done}/{len(missing)}] {record.status} {record.cell.id}\n"
        sys.stderr.write(line)  # at once, so that no interrupt parts it from its end

    for problem in work.store.problems:
        _say(f"unreadable record skipped: {problem}")
    if options.from_records:
        environment = work.store.newest_environment(work.cells)
    else:
        started = work.start(command)
        environment = started.environment
        missing, taken = (work.cells, []) if options.fresh else plan_cells(work.cells, started)
        recorded = f"{len(work.cells) - len(missing)} recorded"
        if taken:
            recorded += f" ({len(taken)} of them for another table or study)"
        _say(f"{work}: {len(work.cells)} cells, {recorded}, {len(missing)} to measure")
        if options.dry_run:
            plan = {c: "measure" if c in missing else "recorded" for c in work.cells}
            for cell, state in plan.items() if not options.json else ():
                print(f"{state:8} {cell.hash} {cell.id}")
            return Exit.FINE, {"plan": {cell.id: state for cell, state in plan.items()}}
        for record in taken:
            started.store.append(record)
        with show_progress("reproduce", len(missing)) as report:
            measure(missing, started, report, print_record)
    rendered = work.render(options.reports, environment)
    _say(f"wrote {options.reports / work.place / rendered.table.name}.md, .csv, .tex, .svg")
    return _judge(rendered), rendered.as_json()


def _judge(rendered: Report) -> Exit:
    for judgment in rendered.judgments:
        _say(f"{judgment.verdict}: {judgment.claim} ({judgment.evidence})")
    failed = [
        record for record in rendered.records.values() if record.status in ("failed", "timeout")
    ]
    for record in failed:
        _say(f"{record.status}: {record.cell.id}: {record.reason}")
    if failed:
        return Exit.FAILURE
    if not any(record.status == "ok" for record in rendered.records.values()):
        _say("nothing was measured")
        return Exit.WRONG_USE
    fails = any(judgment.verdict == "FAILS" for judgment in rendered.judgments)
    return Exit.FELL_SHORT if fails else Exit.FINE


def _print_list() -> Exit:
    from benchmarks.plan.specs import load_specs

    for kind, heading in _HEADINGS.items():
        print(heading)
        for spec in load_specs(kind).values():
            alias = f" ({', '.join(spec.aliases)})" if spec.aliases else ""
            profiles = [name + "*" * (name == spec.default_profile) for name in spec.profiles]
            print(f"  {spec.name}{alias}: {spec.title} -- profiles: {', '.join(profiles)}")
    print("* is the default profile.")
    return Exit.FINE


if __name__ == "__main__":
    sys.exit(main())
