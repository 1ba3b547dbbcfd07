"""Compiles the C++ of this folder once per machine, and loads its operators.

The library is kept under `$KGT_CACHE` (else `$XDG_CACHE_HOME/kgt`, else `~/.cache/kgt`) by a digest
of everything that it depends on. It appears there in one step, so a compilation that is killed
leaves nothing that would be loaded, and two processes that compile at once do not disturb each
other.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

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


def cache_folder() -> Path:
    """Where compiled libraries are kept."""
    if os.environ.get("KGT_CACHE"):
        return Path(os.environ["KGT_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kgt"


def find_compiler() -> str:
    """Path of the C++ compiler: `$CXX`, else the first of g++, c++, clang++.

    Raises:
        NativeUnavailableError: when there is none.
    """
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else _COMPILERS
    for name in wanted:
        path = shutil.which(name)
        if path:
            return path
    raise NativeUnavailableError(
        f"no C++ compiler: none of {', '.join(wanted)} is on the PATH; install g++ or set CXX"
    )


def compile_library(flags: Sequence[str] = NATIVE_FLAGS) -> Path:
    """The shared library of all sources of this folder, from the cache or newly compiled.

    Args:
        flags: machine flags; the default is for this machine's processor.

    Raises:
        NativeUnavailableError: without a compiler, or when it fails; its output is in
            a file that the message names.
    """
    compiler = find_compiler()
    library = cache_folder() / f"kgt-native-{_digest(compiler, flags)}.so"
    if library.exists():
        return library
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
            built = _compile(compiler, flags, Path(scratch), library.with_suffix(".log"))
            built.replace(library)
    except OSError as error:
        raise NativeUnavailableError(
            f"cannot compile into {library.parent}: {error}; set KGT_CACHE to a folder that "
            "can be written"
        ) from error
    return library


def _digest(compiler: str, flags: Sequence[str]) -> str:
    """Digest of sources, compiler, flags, torch and, where the flags mean it, the processor."""
    sha = hashlib.sha256()
    for path in sorted(_FOLDER.glob("*.cpp")) + sorted(_FOLDER.glob("*.h")):
        sha.update(path.name.encode() + path.read_bytes())
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False).stdout
    facts = [compiler, version, *_COMPILE_FLAGS, *flags, torch.__version__, platform.machine()]
    cpu = Path("/proc/cpuinfo")
    if "-march=native" in flags and cpu.exists():
        named = ("flags", "Features", "model name")
        facts += [line for line in cpu.read_text().splitlines() if line.startswith(named)][:2]
    sha.update(repr(facts).encode())
    return sha.hexdigest()[:16]


def _compile(compiler: str, flags: Sequence[str], scratch: Path, log: Path) -> Path:
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
            [compiler, *options, "-c", str(source), "-o", compiled]
            for source, compiled in zip(sources, objects, strict=True)
        ],
        log,
    )
    _run_all([[compiler, "-shared", *objects, *libraries, "-o", str(library)]], log)
    _say(f"compiled in {time.monotonic() - start:.0f} s")
    return library


def _say(message: str) -> None:
    print(f"kgt: {message}", file=sys.stderr, flush=True)


def _run_all(commands: Sequence[Sequence[str]], log: Path) -> None:
    """Run commands side by side; the first that fails is kept in the log and raised."""
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for command in commands
    ]
    outputs = [run.communicate()[0] for run in runs]
    for command, run, output in zip(commands, runs, outputs, strict=True):
        if run.returncode:
            log.write_text(f"{' '.join(command)}\n\n{output}")
            errors = [line for line in output.splitlines() if "error" in line]
            raise NativeUnavailableError(
                f"{command[0]} failed with exit code {run.returncode} "
                f"({errors[0].strip() if errors else 'no error line'}); its output is in {log}"
            )


@cache
def load_operators() -> None:
    """Make the operators available as `torch.ops.kgt`.

    Raises:
        NativeUnavailableError: when they cannot be compiled or loaded.
    """
    reason = unavailable_reason()
    if reason:
        raise NativeUnavailableError(reason)


@cache
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
