"""Compiles the C++ of this folder once per machine, and loads its operators.

The library is kept in the cache (`kgt.cache`) by a digest of everything that it depends on, and is
loaded only where its content fits the digest beside it and no other user may have written it. Of
processes that want it at once, one compiles and the others wait. A compilation that is ended takes
its compilers along; what one that is killed leaves behind, the next one removes.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import torch

from kgt.attention.compiling import once
from kgt.cache import find_in_cache, make_private, why_distrusted
from kgt.files import locked, write_atomically

_FOLDER = Path(__file__).parent
# Not from torch.utils.cpp_extension, which looks for CUDA and warns where there is none.
_TORCH = Path(torch.__file__).parent
_COMPILERS = ("g++", "c++", "clang++")
# ATen's threads are OpenMP's. Linking without -fopenmp leaves the runtime that torch has loaded
# as the only one, so that torch.set_num_threads is obeyed and no second pool appears.
_COMPILE_FLAGS = ("-std=c++20", "-O3", "-fPIC", "-fopenmp", "-fno-math-errno")
NATIVE_FLAGS = ("-march=native",)


class NativeUnavailableError(RuntimeError):
    """The native operators cannot be compiled or loaded on this machine; the message says why."""


def find_compiler() -> list[str]:
    """The C++ compiler as words of a command: `$CXX`, else the first of g++, c++, clang++.

    Raises:
        NativeUnavailableError: when there is none.
    """
    named = os.environ.get("CXX", "")
    try:
        wanted = [shlex.split(named)] if named.strip() else [[name] for name in _COMPILERS]
    except ValueError as error:
        raise NativeUnavailableError(f"CXX = {named!r} is no command: {error}") from error
    for name, *options in wanted:
        path = shutil.which(name)
        if path:
            return [path, *options]
    raise NativeUnavailableError(
        f"no C++ compiler: none of {', '.join(words[0] for words in wanted)} is on the PATH; "
        "install g++ or set CXX"
    )


def compile_library(flags: Sequence[str] = NATIVE_FLAGS) -> Path:
    """The shared library of all sources of this folder, from the cache or newly compiled.

    Args:
        flags: machine flags; the default is for this machine's processor.

    Raises:
        NativeUnavailableError: without a compiler, or when it fails (its output is in a file that
            the message names), or for a cache that cannot be written or trusted.
    """
    compiler = find_compiler()
    library = find_in_cache(f"kgt-native-{_digest(compiler, flags)}.so")
    try:
        make_private(library.parent)
        _refuse_others(library.parent)
        if not _is_whole(library):
            with _ending_cleanly(), _scratch_folder(library.parent) as scratch:
                if not _is_whole(library):
                    built = _compile(compiler, flags, scratch, library.with_suffix(".log"))
                    write_atomically(library, built.read_bytes())
                    library.chmod(0o644)
                    write_atomically(_seal_of(library), _seal(library))
    except OSError as error:
        raise NativeUnavailableError(
            f"cannot compile into {library.parent}: {error}; set KGT_CACHE to a folder that "
            "can be written"
        ) from error
    return library


def _is_whole(library: Path) -> bool:
    """Whether it is there as it was compiled."""
    if not library.exists():
        return False
    _refuse_others(library)
    seal = _seal_of(library)
    return seal.exists() and seal.read_text() == _seal(library)


def _seal_of(library: Path) -> Path:
    return library.with_suffix(".sha256")


def _seal(library: Path) -> str:
    """What stands beside the library, in the format of sha256sum."""
    return f"{hashlib.sha256(library.read_bytes()).hexdigest()}  {library.name}\n"


def _refuse_others(path: Path) -> None:
    if reason := why_distrusted(path):
        raise NativeUnavailableError(
            f"no library is loaded from {path.parent if path.is_file() else path}: {reason}; "
            "remove it, or set KGT_CACHE to a folder of your own"
        )


@contextmanager
def _scratch_folder(parent: Path) -> Iterator[Path]:
    """The one folder in which a library is compiled: others wait until this one is gone."""
    with locked(parent / "compiling.lock"):
        for left in parent.glob("compiling-*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="compiling-", dir=parent) as name:
            yield Path(name)


class _Terminated(BaseException):
    """SIGTERM came."""


@contextmanager
def _ending_cleanly() -> Iterator[None]:
    """Let SIGTERM end the process only after what is done within has cleaned up."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except _Terminated:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _digest(compiler: Sequence[str], flags: Sequence[str]) -> str:
    """Digest of sources, compiler, flags, torch and, where the flags mean it, the processor."""
    sha = hashlib.sha256()
    for path in sorted(_FOLDER.glob("*.cpp")) + sorted(_FOLDER.glob("*.h")):
        sha.update(path.name.encode() + path.read_bytes())
    version = subprocess.run([*compiler, "--version"], capture_output=True, check=False).stdout
    facts = [*compiler, version, *_COMPILE_FLAGS, *flags, torch.__version__, platform.machine()]
    cpu = Path("/proc/cpuinfo")
    if "-march=native" in flags and cpu.exists():
        named = ("flags", "Features", "model name")
        facts += [line for line in cpu.read_text().splitlines() if line.startswith(named)][:2]
    sha.update(repr(facts).encode())
    return sha.hexdigest()[:16]


def _compile(compiler: Sequence[str], flags: Sequence[str], scratch: Path, log: Path) -> Path:
    sources = sorted(_FOLDER.glob("*.cpp"))
    abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"
    options = [*_COMPILE_FLAGS, *flags, abi, f"-I{_TORCH / 'include'}"]
    objects = [str(scratch / f"{source.stem}.o") for source in sources]
    library = scratch / "library.so"
    libraries = [f"-L{_TORCH / 'lib'}", "-lc10", "-ltorch_cpu"]
    start = time.monotonic()
    _say("compiling the native kernels, once, about half a minute ...")
    _run_all(
        [
            [*compiler, *options, "-c", str(source), "-o", compiled]
            for source, compiled in zip(sources, objects, strict=True)
        ],
        log,
    )
    _run_all([[*compiler, *flags, "-shared", *objects, *libraries, "-o", str(library)]], log)
    _say(f"compiled in {time.monotonic() - start:.0f} s")
    return library


def _say(message: str) -> None:
    print(f"kgt: {message}", file=sys.stderr, flush=True)


def _run_all(commands: Sequence[Sequence[str]], log: Path) -> None:
    """Run commands side by side; the first that fails is kept in the log and raised."""
    with ExitStack() as ending:
        runs = []
        for command in commands:
            run = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            ending.callback(_end, run)
            runs.append(run)
        outputs = [run.communicate()[0] for run in runs]
    for command, run, output in zip(commands, runs, outputs, strict=True):
        if run.returncode:
            log.write_text(f"{' '.join(command)}\n\n{output}")
            errors = [line for line in output.splitlines() if "error" in line]
            raise NativeUnavailableError(
                f"{command[0]} failed with exit code {run.returncode} "
                f"({errors[0].strip() if errors else 'no error line'}); its output is in {log}"
            )


def _end(run: subprocess.Popen[str]) -> None:
    """Kill a compiler that still runs, and what it has started."""
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def load_operators() -> None:
    """Make the operators available as `torch.ops.kgt`.

    Raises:
        NativeUnavailableError: when they cannot be compiled or loaded.
    """
    reason = unavailable_reason()
    if reason:
        raise NativeUnavailableError(reason)


@once
def unavailable_reason() -> str:
    """Why the native operators cannot be used here, or nothing; compiles and loads them."""
    try:
        library = compile_library()
    except NativeUnavailableError as error:
        return str(error)
    try:
        torch.ops.load_library(library)
    except OSError as error:
        return f"{library} cannot be loaded: {error}"
    return ""
