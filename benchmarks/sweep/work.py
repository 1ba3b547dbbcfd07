"""One job of a sweep, done in this process; safe to do twice, also at once."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from benchmarks import reproduce
from benchmarks.plan.runner import find_missing
from benchmarks.records.environment import capture_environment
from benchmarks.records.record import Record
from benchmarks.report.reproduction import measure
from benchmarks.sweep.jobs import Job
from benchmarks.sweep.sweep import JobRun, Sweep
from benchmarks.sweep.versions import digest_versions, refuse_other_versions
from kgt.cli import Exit, say, show_progress
from kgt.files import append_line, locked

_say = partial(say, "sweep")


def do_job(sweep: Sweep, name: str, planned: str | None, command: str, reports: Path) -> None:
    """Measure what a job lacks, or render; a cell that fails is a record, and no failure of it.

    Args:
        sweep: what it is a job of.
        name: its name.
        planned: digests that the sweep was planned with (`digest_versions`); None is any.
        command: the command line that its records keep.
        reports: folder of pages.

    Raises:
        ValueError: an unknown job, or other digests here.
    """
    job = sweep.find(name)
    if planned is not None:
        refuse_other_versions(planned, digest_versions(sweep.cells))
    with locked(sweep.path(name, "lock")):
        start = time.time()
        code = _render(sweep, reports) if job.kind == "render" else _measure(sweep, job, command)
        run = JobRun(
            job=name,
            machine=capture_environment().machine,
            start=start,
            end=time.time(),
            exit=code,
        )
        append_line(sweep.path(name, "jsonl"), run.model_dump_json())


def _measure(sweep: Sweep, job: Job, command: str) -> Exit:
    work = sweep.open()
    run = work.start(command)
    run.store.write_part(job.name)
    missing = find_missing(job.cells, run)

    def print_record(done: int, record: Record) -> None:
        reason = f": {record.reason}" if record.reason else ""
        _say(f"[{done}/{len(missing)}] {record.status} {record.cell.id}{reason}")

    with show_progress("sweep", len(missing)) as report:
        measure(missing, run, report, print_record)
    return Exit.FINE


def _render(sweep: Sweep, reports: Path) -> Exit:
    """Gather the records of jobs that have ended, and write the page."""
    store = sweep.open().store
    for part in store.list_parts():
        # One that is held is at work in another sweep, which gathers it in its turn.
        with suppress(BlockingIOError), locked(sweep.path(part.stem, "lock"), wait=False):
            store.gather(part)
    study = ["--study", sweep.spec.name, "--profile", sweep.name, "--from-records"]
    return reproduce.main([*study, "--results", str(sweep.results), "--reports", str(reports)])
