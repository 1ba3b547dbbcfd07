"""Sweep a study: trainings, scores and timings as jobs, several at once, on one or many machines.

A job is a process of its own, writes a record file of its own and is safe to do twice, so a sweep
that ends early, however it ends, is resumed by the same command. Jobs that time have their machine
to themselves. $OMP_NUM_THREADS is the number of threads, and of cores, of every job.

Exit codes: 0 fine, 1 a claim fails, 2 wrong use or nothing measured, 3 a job failed, something
could not be measured, or the sweep was interrupted.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.cli.arguments import add_folders
from benchmarks.sweep.machine import reserve_machine
from kgt.cli import Exit, Parser, positive, run, say, show_progress

if TYPE_CHECKING:
    from benchmarks.sweep.jobs import Job
    from benchmarks.sweep.sweep import Sweep
    from benchmarks.sweep.task import Engine, Task

_say = partial(say, "sweep")


def _build_parser() -> Parser:
    from benchmarks.plan.specs import PROFILES

    parser = Parser(
        prog="python -m benchmarks.sweep",
        description=__doc__,
        examples=(
            "python -m benchmarks.sweep --study method --dry-run",
            "OMP_NUM_THREADS=1 python -m benchmarks.sweep --study method --workers 2",
            "python -m benchmarks.sweep --study method --on hyperqueue",
        ),
    )
    parser.add_argument("--study", required=True, metavar="NAME", help="study by its name")
    parser.add_argument("--profile", choices=PROFILES, help="extent (default: its own)")
    parser.add_argument(
        "--on",
        choices=("local", "hyperqueue"),
        default="local",
        help="what starts the jobs: this process alone, or HyperQueue with workers on any machines",
    )
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="jobs at once on this machine (default: the workers of a running HyperQueue server, "
        "else as many as its cores are enough for)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say jobs, core hours, and what is recorded already"
    )
    parser.add_argument(
        "--job", metavar="JOB", help="do one job in this process, as an engine asks for it"
    )
    parser.add_argument(
        "--planned",
        metavar="CODE-DATA",
        help="digests of code and images; a job that finds others here is refused",
    )
    add_folders(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> Exit:
    """Run the command line and return its exit code."""
    words = ["python", "-m", "benchmarks.sweep", *(arguments or sys.argv[1:])]
    return run(
        lambda: _run(_build_parser().parse_args(arguments), shlex.join(words)),
        "sweep",
        kept="what finished jobs recorded is kept, the same command resumes",
    )


def _run(options: argparse.Namespace, command: str) -> Exit:
    return _do_job(options, command) if options.job else _sweep(options, command)


def _do_job(options: argparse.Namespace, command: str) -> Exit:
    # Even what is imported takes time from a job that times.
    with reserve_machine(alone=options.job.startswith("time-")):
        from benchmarks.sweep.sweep import Sweep
        from benchmarks.sweep.work import do_job

        sweep = Sweep(options.study, options.profile, options.results)
        do_job(sweep, options.job, options.planned, command, options.reports)
    return Exit.FINE


def _sweep(options: argparse.Namespace, command: str) -> Exit:
    engine = _load_engine(options.on)
    from benchmarks.plan.runner import plan_cells
    from benchmarks.report.reproduction import check_device
    from benchmarks.sweep.jobs import choose_pending
    from benchmarks.sweep.sweep import Sweep
    from benchmarks.sweep.task import Extent

    sweep = Sweep(options.study, options.profile, options.results)
    check_device([(sweep.spec, sweep.name, sweep.profile)])
    work = sweep.open()
    for problem in work.store.problems:
        _say(f"unreadable record skipped: {problem}")
    started = work.start(command)
    cells, (missing, taken) = sweep.cells, plan_cells(sweep.cells, started)
    pending = choose_pending(sweep.jobs, missing)
    _say(f"{work}: {len(cells)} cells, {len(cells) - len(missing)} recorded; {len(pending)} jobs")
    if options.dry_run:
        from benchmarks.sweep.costs import render_costs

        print(render_costs(pending, started))
        return Exit.FINE
    for record in taken:
        work.store.append(record)
    tasks = _describe_tasks(sweep, pending, options)
    begin = time.time()
    with _as_interrupt(signal.SIGTERM), show_progress("sweep", len(tasks)) as report:
        failed = engine(
            tasks,
            Extent(started.environment.threads, started.environment.cores, options.workers),
            lambda done: report(f"{done} of {len(tasks)} jobs{_find_news(sweep, begin)}", done),
        )
    if failed:
        _say_failures({name: sweep.last_words(name) or why for name, why in failed.items()})
        _say(f"what the jobs said is in {sweep.folder}, the same command goes on")
        return Exit.FAILURE
    last = sweep.jobs[-1].name
    print(sweep.path(last, "log").read_text(), end="", file=sys.stderr)
    return Exit(sweep.last_run(last).exit)


def _find_news(sweep: Sweep, begin: float) -> str:
    """What a job of this sweep has said last of all, with its name."""
    said = {log.stat().st_mtime: log.stem for log in sweep.folder.glob("*.log")}
    name = said[max(said)] if said and max(said) >= begin else ""
    words = sweep.last_words(name).removeprefix("sweep: ") if name else ""
    return f"; {name}: {words}" if words else ""


def _say_failures(reasons: Mapping[str, str]) -> None:
    """A line per reason, with the jobs that have it."""
    jobs = defaultdict(list)
    for name, reason in reasons.items():
        jobs[reason.removeprefix("sweep: ")].append(name)
    for reason, names in jobs.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        _say(f"{names[0]}{more} failed: {reason}")


def _load_engine(name: str) -> Engine:
    """The engine of a name.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    if name == "local":
        from benchmarks.sweep.local import run_tasks
    else:
        from benchmarks.sweep.hq import run_tasks
    return run_tasks


def _describe_tasks(sweep: Sweep, jobs: list[Job], options: argparse.Namespace) -> list[Task]:
    from benchmarks.sweep.task import Task
    from benchmarks.sweep.versions import digest_versions

    sweep.folder.mkdir(parents=True, exist_ok=True)
    common = ("-m", "benchmarks.sweep", "--study", options.study, "--profile", sweep.name)
    folders = ("--results", str(options.results), "--reports", str(options.reports))
    planned = ("--planned", digest_versions(sweep.cells))
    return [
        Task(
            name=job.name,
            needs=job.needs,
            alone=job.kind == "time",
            words=(*common, *folders, *planned, "--job", job.name),
            log=sweep.path(job.name, "log"),
        )
        for job in jobs
    ]


@contextmanager
def _as_interrupt(number: signal.Signals) -> Iterator[None]:
    """Let a signal do what Ctrl-C does."""
    before = signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(number, before)


if __name__ == "__main__":
    sys.exit(main())
