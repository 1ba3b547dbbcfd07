"""What all commands share: exit codes, errors as one line, progress, and kinds of arguments."""

from __future__ import annotations

import argparse
import ast
import os
import re
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TextIO

from kgt.errors import Failure, quote, unknown

if TYPE_CHECKING:
    import torch

_LINE_EVERY_S, _LOOK_BACK_S = 10, 1800
# As torch says it, of the CPU and of GPUs, in an error of no type of its own.
_NO_MEMORY = re.compile("allocate memory|out of memory|not enough memory")
# What to install for packages that the extra `bench` does not have.
_EXTRAS = {
    "av": "video",
    **dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "export"),
    "hyperqueue": "sweep",
    **dict.fromkeys(("altair", "jinja2", "markdown_it", "vl_convert"), "site"),
}
_CONSTANTS = {"true": True, "false": False, "null": None}


class OnProgress(Protocol):
    """Takes what is being done, and how much of the total is done by now, if that is known."""

    def __call__(self, what: str, done: float | None = None) -> None:
        """Show it."""


class Exit(IntEnum):
    """Exit codes of all commands; where several apply, the largest counts."""

    FINE = 0
    FELL_SHORT = 1  # what was measured: a claim fails, or a value is worse than it was
    WRONG_USE = 2  # or nothing to do
    FAILURE = 3


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        # Of a flag, or where nothing is chosen, the default says nothing.
        if isinstance(action.default, bool | list | None):
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """A command line whose help gives defaults and examples, and whose errors name what is nearest.

    Parsers of subcommands are of this class as well.

    Args:
        examples: command lines as they are typed.
        **fields: as of `argparse.ArgumentParser`.
    """

    def __init__(self, *, examples: Sequence[str] = (), **fields: Any) -> None:
        listed = "\n".join(f"  {example}" for example in examples)
        super().__init__(
            formatter_class=_HelpFormatter,
            epilog=f"examples:\n{listed}" if examples else None,
            **fields,
        )

    def error(self, message: str) -> NoReturn:
        """Print the usage and a message, in which long values are cut, and exit."""
        super().error(re.sub(r"\S{201,}", lambda found: f"{found[0][:200]}...", message))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            problem = str(unknown("value", str(value), map(str, action.choices)))
            raise argparse.ArgumentError(action, problem)


def run(command: Callable[[], Exit], name: str, kept: str = "") -> Exit:
    """Run a command; what it raises becomes one line on standard error and an exit code.

    A reader of the output that leaves early, as `head` does, is no error.

    Args:
        command: parses its arguments and does the work.
        name: what stands before the line.
        kept: what an interrupt leaves behind.

    Raises:
        SystemExit: by argparse, after the help or a message about wrong arguments.
    """
    try:
        code = _attempt(command, name, kept)
    except SystemExit:
        if _flush(name) is Exit.FINE:
            raise
        return Exit.FAILURE
    return max(code, _flush(name))


def _attempt(command: Callable[[], Exit], name: str, kept: str) -> Exit:
    try:
        with _noted_interrupts() as asked:
            try:
                return command()
            except Exception as error:
                # An import that is interrupted may say that it failed.
                if asked.is_set():
                    raise KeyboardInterrupt from error
                raise
    except SystemExit as end:
        # This is how the library rich ends where the reader of its output has left.
        if isinstance(end.__context__, BrokenPipeError):
            return Exit.FINE
        raise
    except ValueError as error:
        say(name, str(error))
        return Exit.WRONG_USE
    except ModuleNotFoundError as error:
        if not error.name or "." in error.name:
            traceback.print_exc()
            return Exit.FAILURE
        extra = _EXTRAS.get(error.name, "bench")
        say(name, f"the package {error.name} is missing here: pip install 'kgt[{extra}]' adds it")
        return Exit.WRONG_USE
    except (Failure, OSError) as error:
        if isinstance(error, BrokenPipeError) and not _has_reader(sys.stdout):
            return Exit.FINE
        say(name, str(error))
    except KeyboardInterrupt:
        say(name, f"interrupted; {kept}" if kept else "interrupted")
    except Exception as error:
        if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
            say(name, f"there is not enough memory; ask for less at once ({quote(str(error))})")
        else:
            traceback.print_exc()
    return Exit.FAILURE


@contextmanager
def _noted_interrupts() -> Iterator[threading.Event]:
    """Ctrl-C raises KeyboardInterrupt, as ever, and sets an event."""
    asked, over = threading.Event(), threading.Event()
    report, main_thread = sys.unraisablehook, threading.get_ident()

    def note(number: int, frame: FrameType | None) -> None:
        asked.set()
        raise KeyboardInterrupt

    def repeat(dropped: sys.UnraisableHookArgs) -> None:
        # Python drops what is raised while a finalizer or a callback of a C library runs.
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            threading.Timer(0.05, interrupt_again).start()
        else:
            report(dropped)

    def interrupt_again() -> None:
        if not over.is_set():
            signal.pthread_kill(main_thread, signal.SIGINT)

    # Not in another thread, nor where someone else sees to it.
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or (
        threading.current_thread() is not threading.main_thread()
    ):
        yield asked
        return
    signal.signal(signal.SIGINT, note)
    sys.unraisablehook = repeat
    try:
        yield asked
    finally:
        over.set()
        sys.unraisablehook = report
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _has_reader(stream: TextIO) -> bool:
    poll = select.poll()
    poll.register(stream, 0)
    return not any(event & select.POLLERR for _, event in poll.poll(0))


def _flush(name: str) -> Exit:
    """Write out what is printed; what cannot be is dropped, so that Python does not try again."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _silence(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            say(name, f"cannot write to standard output: {error}")
            return Exit.FAILURE
    return Exit.FINE


def _silence(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(name: str, message: str) -> None:
    """Print a line on standard error, in the name of a command."""
    try:
        # At once, so that no interrupt parts a line from its end.
        print(f"{name}: {message}\n", end="", file=sys.stderr)
    except BrokenPipeError:
        _silence(sys.stderr)


@contextmanager
def show_progress(name: str, total: float | None = None) -> Iterator[OnProgress]:
    """A bar with the time left on a terminal; elsewhere a line with it now and then.

    Args:
        name: that of the command.
        total: of what is to be done, in any unit; None where it is not known.
    """
    if not sys.stderr.isatty():
        yield _make_line_printer(name, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        # A step may take longer than the 30 s over which rich looks back on its own.
        speed_estimate_period=_LOOK_BACK_S,
    ) as progress:
        bar = progress.add_task("", total=total)

        def show(what: str, done: float | None = None) -> None:
            progress.update(bar, completed=done, description=what)

        yield show


def _make_line_printer(name: str, total: float | None) -> OnProgress:
    started: tuple[float, float] | None = None
    printed_at = time.monotonic()

    def print_line(what: str, done: float | None = None) -> None:
        nonlocal started, printed_at
        now = time.monotonic()
        if total is not None and done is not None:
            # What an earlier run has done says nothing of the pace of this one.
            started = started or (done, now)
        if now - printed_at < _LINE_EVERY_S:
            return
        printed_at = now
        if total is None or done is None or started is None or done <= started[0]:
            say(name, what)
            return
        # A measurement goes beyond its budget until it has rounds enough.
        done = min(done, total)
        left_s = (now - started[1]) / max(done - started[0], 1e-9) * (total - done)
        say(name, f"{what}, {done / total:.0%} of all done, {left_s:.0f} s left")

    return print_line


def positive(text: str) -> int:
    """The argument type of whole numbers from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{quote(text)} is not a whole number of at least 1")
    return int(text)


def size(text: str) -> tuple[int, int]:
    """The argument type of HEIGHTxWIDTH in pixels."""
    height, _, width = text.partition("x")
    try:
        return positive(height), positive(width)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f"{quote(text)} is not two numbers of pixels, HEIGHTxWIDTH, e.g. 96x128"
        ) from error


def split_model(description: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Name and (field, value as it is written) of NAME:field=value:field=value.

    Raises:
        ValueError: for a field without a value.
    """
    name, *fields = description.split(":")
    for field in fields:
        if "=" not in field:
            raise ValueError(
                f"{quote(description)}: NAME:field=value is expected, got {quote(field)}"
            )
    return name, tuple((key, value) for key, _, value in (f.partition("=") for f in fields))


def read_value(text: str) -> Any:
    """A value as it is written in Python; true, false and null as in YAML; else a word."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    try:
        return ast.literal_eval(text)
    except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        return text


def parse_model(description: str) -> tuple[str, dict[str, Any]]:
    """Name and fields of NAME:field=value:field=value; errors as `split_model`."""
    name, given = split_model(description)
    return name, {field: read_value(value) for field, value in given}


def add_json(parser: argparse.ArgumentParser, what: str = "one JSON object") -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help=f"print {what}")


def add_device(parser: argparse.ArgumentParser, default: str = "auto") -> None:
    """Add --device; `choose_device` makes a device of its value."""
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default=default,
        help="where networks run; auto is a GPU where there is one",
    )


def choose_device(name: str) -> torch.device:
    """The device of a value of --device.

    Raises:
        ValueError: "cuda" where torch finds no GPU.
    """
    import torch

    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise ValueError("--device cuda needs a CUDA device, and torch finds none")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")
