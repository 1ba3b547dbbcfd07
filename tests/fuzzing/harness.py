"""Tries targets with many inputs, and keeps the smallest input of each way in which one fails.

A target is a module of this folder with

- INPUTS, a strategy of hypothesis that makes bytes;
- SUFFIX, that of the files in which inputs are kept;
- attempt(data, folder), which tries an input, with a folder for its files. It may raise what the
  project documents, see `is_documented`; whatever else it raises is a finding.
"""

import multiprocessing
import os
import resource
import tempfile
import time
import traceback
from collections import Counter
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks.measure.memory import read_status_bytes
from kgt.errors import Failure

TARGETS = (
    *("pictures", "recipes", "records", "checkpoints", "descriptions", "commands"),
    *("attention", "clips"),
)
PROJECT = ("kgt", "baselines", "benchmarks", "tests")
LIMIT_S, LIMIT_BYTES, LONGEST_ERROR = 20, 4 * 2**30, 2000
BATCH, DEATHS = 200, 4
CRASH, HANG, MEMORY = "crash", "hang", "over memory"
_OVER_MEMORY = 77  # exit code of a worker
_LEARN_S = 0.1
_IDLE_S = 10**6  # so far ahead lies the time of a file of which nothing is tried


def load(name):
    return import_module(f"tests.fuzzing.{name}")


def is_documented(error):
    """An error of the project, or one of a file: not one that a library raises for its own sake."""
    if isinstance(error, Failure | OSError) or type(error) is ValueError:
        return True
    return isinstance(error, ValueError) and type(error).__module__.split(".")[0] in PROJECT


@contextmanager
def documented():
    """What is raised within must be documented, and not too long to be read; it is then dropped."""
    try:
        yield
    except Exception as error:
        if not is_documented(error):
            raise
        if len(str(error)) > LONGEST_ERROR:
            raise AssertionError(f"an error of {len(str(error))} characters") from None


def try_input(target, data):
    """Try an input; raises what is a finding."""
    with tempfile.TemporaryDirectory() as folder, documented():
        target.attempt(data, Path(folder))


def name_of(error):
    """Name of a finding: the type of the error, and the last line of the project in its trace."""
    places = [
        f"{Path(frame.filename).stem}-{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if any(f"/{part}/" in frame.filename for part in PROJECT)
    ]
    return "-".join([type(error).__name__, *places[-1:]])


def run_batch(target, number, cases, attempt):
    """Call a function with inputs of a seed; where it raises, again with smaller inputs."""

    @seed(number)
    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(target.INPUTS)
    def run(data):
        attempt(data)

    run()


def limit_memory():
    """Let allocations fail beyond what a case may take, twice over; returns the limits before."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + 2 * LIMIT_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    return before


def _work(name, batches, current, pipe, known, fatal):
    """Do batches, (seed, cases) each, in a process of its own.

    `current` holds what is tried, and was written when that began; its time lies ahead when nothing
    is, as inputs are made and shrunk for as long as that takes.
    """
    target = load(name)
    limit_memory()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    known = set(known)
    for number, cases in batches:
        tried, found = Counter(), {}

        def attempt(data, known=known, tried=tried, found=found):
            if data in fatal:
                return
            current.write_bytes(data)
            tried["cases"] += 1
            try:
                try_input(target, data)
            except MemoryError:
                os._exit(_OVER_MEMORY)
            except Exception as error:
                what = name_of(error)
                tried[what] += 1
                if what in known:
                    return
                found[what] = data, "".join(traceback.format_exception(error))
                raise
            finally:
                # Not getrusage's figure: a new process inherits that of the one that began it.
                if read_status_bytes("VmHWM") > LIMIT_BYTES:
                    os._exit(_OVER_MEMORY)
                os.utime(current, (time.time() + _IDLE_S,) * 2)

        # A batch ends early where something is found, and goes on without that.
        before = -1
        while before < tried["cases"] < cases:
            before = tried["cases"]
            # Hypothesis raises what it found, smallest input last, or that it cannot be repeated.
            with suppress(Exception):
                run_batch(target, number + before, cases - before, attempt)
            known.update(found)
        pipe.send((tried, found))


class _Worker:
    """A process that does batches, and is begun anew where it died or was ended."""

    def __init__(self, name, batches, folder):
        self.name, self.batches, self.current = name, list(batches), folder
        self.fatal = []  # of the batch that is being done
        self.begin([])

    def begin(self, known):
        context = multiprocessing.get_context("spawn")
        self.current.unlink(missing_ok=True)
        self.pipe, other = context.Pipe(duplex=False)
        arguments = (self.name, self.batches, self.current, other, known, self.fatal)
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        other.close()

    def collect(self):
        """What has come since: (counts, findings) of batches."""
        with suppress(EOFError):
            while self.pipe.poll():
                yield self.pipe.recv()
                self.skip()

    def skip(self):
        """Leave the rest of a batch alone."""
        self.batches.pop(0)
        self.fatal = []

    def end(self):
        """Why the process is over, if it is or takes too long; None while all is well."""
        if self.process.exitcode == 0:
            return None
        if self.process.is_alive():
            tried = self.current.exists() and time.time() - self.current.stat().st_mtime
            if tried <= LIMIT_S:
                return None
            self.process.kill()
            self.process.join()
            return HANG
        return MEMORY if self.process.exitcode == _OVER_MEMORY else CRASH


def fuzz(name, cases, number, minutes, workers, keep, say):
    """Try a target in worker processes; returns how often what happened."""
    target, counts, until = load(name), Counter(), time.monotonic() + 60 * (minutes or 1e9)
    batches = [
        (number * 1_000_003 + i, min(BATCH, cases - i * BATCH)) for i in range(-(-cases // BATCH))
    ]

    def note(what, data, detail=""):
        keep.mkdir(parents=True, exist_ok=True)
        path = keep / f"{name}-{what.replace(' ', '-')}{target.SUFFIX}"
        path.write_bytes(data)
        say(f"{what}: kept as {path}\n{detail}")

    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / str(i) for i in range(min(workers, len(batches)))]
        running = [_Worker(name, batches[i :: len(places)], p) for i, p in enumerate(places)]
        said, known = time.monotonic(), set()
        while running and time.monotonic() < until:
            time.sleep(_LEARN_S)
            for worker in list(running):
                for tried, found in worker.collect():
                    counts += tried
                    for what in found.keys() - known:
                        note(what, *found[what])
                    known.update(found)
                if not worker.batches:
                    running.remove(worker)
                elif why := worker.end():
                    if not worker.current.exists():
                        raise RuntimeError(f"a worker cannot begin: {worker.process.exitcode}")
                    counts[why] += 1
                    data = worker.current.read_bytes()
                    note(f"{why} {counts[why]}", data, f"exit code {worker.process.exitcode}")
                    worker.fatal.append(data)
                    if len(worker.fatal) > DEATHS:
                        worker.skip()
                    worker.begin(known)
            if time.monotonic() - said > 10:
                said = time.monotonic()
                say(f"{counts['cases']:,} cases, {len(known)} kinds of error, {_other(counts)}")
        for worker in running:
            worker.process.kill()
    return counts


def _other(counts):
    return ", ".join(f"{counts[what]} {what}" for what in (CRASH, HANG, MEMORY))


def summarize(name, counts):
    """One line, and whether nothing was found."""
    undocumented = counts.total() - sum(counts[w] for w in ("cases", CRASH, HANG, MEMORY))
    line = f"{name}: {counts['cases']:,} cases, {undocumented} undocumented exceptions, "
    return line + _other(counts), counts.total() == counts["cases"]
