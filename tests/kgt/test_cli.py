import ctypes
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import pytest

import kgt
from kgt import cli
from kgt.__main__ import main as kgt_main
from kgt.cli import Exit, choose_device, positive, run, show_progress
from kgt.errors import Failure, unknown


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("[/red] is no number"), 2, "try: [/red] is no number\n"),
        (Failure("it diverged"), 3, "try: it diverged\n"),
        (MemoryError(), 3, "try: there is not enough memory; ask for less at once"),
        (RuntimeError("can't allocate memory: you tried 9"), 3, "not enough memory"),
        (NotADirectoryError(20, "Not a directory", "a/b"), 3, "try: [Errno 20] Not a dir"),
        (OSError(28, "No space left on device"), 3, "try: [Errno 28] No space left on device\n"),
        (KeyboardInterrupt(), 3, "try: interrupted; finished cells are kept\n"),
        (ModuleNotFoundError("no", name="matplotlib"), 2, "pip install 'kgt[bench]'"),
    ],
)
def test_what_a_command_raises_is_one_line_and_a_code(error, code, line, capsys):
    assert run(partial(fail, error), "try", kept="finished cells are kept") == code
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), ModuleNotFoundError(name="kgt.absent")])
def test_what_nobody_foresaw_shows_where_it_happened(error, capsys):
    assert run(partial(fail, error), "try") == Exit.FAILURE
    assert "Traceback" in capsys.readouterr().err


def test_the_largest_code_counts():
    assert max(Exit) is Exit.FAILURE
    assert max(Exit.FELL_SHORT, Exit.WRONG_USE) is Exit.WRONG_USE


def call(body, *, reader="", stdout=""):
    """Exit code and standard error of a command whose output goes to a reader or a file."""
    code = (
        f"import sys\nfrom kgt.cli import Exit, run\ndef do():\n {body}\nsys.exit(run(do, 'try'))"
    )
    script = f'"$0" -c "$1" {stdout} {reader}; exit "${{PIPESTATUS[0]}}"'
    command = ["bash", "-c", script, sys.executable, code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


LOTS = "[print('x' * 99) for _ in range(9999)]"
BY_RICH = "from rich.console import Console; [Console().print('x' * 99) for _ in range(99)]"


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (f"{LOTS}; return Exit.FINE", {0}),
        (f"{BY_RICH}; return Exit.FINE", {0}),
        (f"{LOTS}; raise ValueError('no')", {0}),
        ("import time; time.sleep(0.2); print(1); return Exit.WRONG_USE", {0, 2}),
    ],
)
def test_a_reader_that_leaves_is_no_error(body, codes):
    code, err = call(body, reader="| true")
    assert code in codes
    assert err == ""


def test_messages_to_nobody_change_no_code():
    wait = "import time; time.sleep(0.2); raise ValueError('no')"
    assert call(wait, stdout="2>&1", reader="| true") == (2, "")


def test_output_that_cannot_be_written_is_a_failure():
    code, err = call(f"{LOTS}; return Exit.FINE", stdout="> /dev/full")
    assert code == 3
    assert "No space left on device" in err
    assert "Traceback" not in err
    assert call("print(1); return Exit.FELL_SHORT", stdout="> /dev/full")[0] == 3


def test_a_broken_pipe_that_is_not_the_output_is_a_failure():
    body = "import os; r, w = os.pipe(); os.close(r); os.write(w, b'x')"
    code, err = call(body)
    assert code == 3
    assert "Broken pipe" in err


def test_progress_on_a_pipe_is_a_line_now_and_then(monkeypatch, capsys):
    clock = iter((0.0, 1.0, 9.0, 12.0, 13.0, 23.0))
    monkeypatch.setattr(cli, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with show_progress("try", 10) as report:
        for done, what in enumerate(("a", "b", "c", "d", "e"), start=2):
            report(f"[{what}]", done)
    assert capsys.readouterr().err.splitlines() == [
        "try: [c], 40% of all done, 33 s left",
        "try: [e], 60% of all done, 22 s left",
    ]


def test_progress_of_an_unknown_total_has_no_time_left(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_LINE_EVERY_S", 0)
    with show_progress("try") as report:
        report("counting")
    assert capsys.readouterr().err == "try: counting\n"


def test_progress_on_a_terminal_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with show_progress("try", 4) as report:
        report("[half]", 2)
    err = capsys.readouterr().err
    assert "[half]" in err
    assert "50%" in err


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", ""])
def test_numbers_from_1_are_wanted(text):
    with pytest.raises(Exception, match="whole number of at least 1"):
        positive(text)
    assert positive("12") == 12


def test_the_device_is_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert [choose_device(name).type for name in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(ValueError, match="--device cuda needs a CUDA device"):
        choose_device("cuda")


def test_the_nearest_names_come_first():
    error = unknown("model", "kgt-s-x5", ["bicubic", "kgt-b-x2", "kgt-s-x4"])
    assert str(error) == "unknown model 'kgt-s-x5'; valid: kgt-s-x4, kgt-b-x2, bicubic"
    assert str(unknown("model", "?", ["b", "a"])) == "unknown model '?'; valid: b, a"


def test_an_interrupt_while_the_command_is_loaded_is_one_line(monkeypatch, capsys):
    class Interrupted:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "kgt.command":
                raise KeyboardInterrupt

    monkeypatch.delattr(kgt, "command", raising=False)
    monkeypatch.delitem(sys.modules, "kgt.command", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted, *sys.meta_path])
    assert kgt_main(["list"]) == Exit.FAILURE
    assert capsys.readouterr().err == "kgt: interrupted\n"


def _interrupted_import():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt as error:
        raise ImportError("a part of the package cannot be imported") from error


def test_an_import_that_ctrl_c_breaks_is_no_failed_import(capsys):
    assert run(_interrupted_import, "name", kept="all is kept") is Exit.FAILURE
    assert capsys.readouterr().err == "name: interrupted; all is kept\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class _Finalized:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def _interrupted_finalizer():
    _Finalized()
    time.sleep(60)


def _interrupted_callback():
    ctypes.CFUNCTYPE(None)(partial(signal.raise_signal, signal.SIGINT))()
    time.sleep(60)


@pytest.mark.parametrize("command", [_interrupted_finalizer, _interrupted_callback])
def test_ctrl_c_that_python_would_drop_ends_the_command(command, capsys):
    begin = time.monotonic()
    assert run(command, "name", kept="all is kept") is Exit.FAILURE
    assert capsys.readouterr().err == "name: interrupted; all is kept\n"
    assert time.monotonic() - begin < 30
