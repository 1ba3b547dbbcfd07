"""Runs tests on kernels that are compiled with address and undefined-behavior sanitizers.

    python tests/kgt/attention/sanitized.py [ARGUMENT OF PYTEST ...]

Without arguments, the contract of the backends and the tests of the C++. The process starts itself
again, for the sanitizers must be loaded before everything else. What they find ends it.
"""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

FLAGS = (
    *("-march=native", "-O1", "-g", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)
TESTS = [
    str(Path(__file__).with_name(name))
    for name in ("test_attention.py", "test_native.py", "test_key_graph.py", "test_graph.py")
]
OPTIONS = {
    # Python and torch leave memory to the end of the process.
    "ASAN_OPTIONS": "detect_leaks=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


RUNTIMES = ("libasan.so", "libubsan.so")


def find_library(compiler, name):
    """Where a compiler's library is; g++ has those of the sanitizers."""
    command = [*compiler, f"-print-file-name={name}"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    if not Path(run.stdout.strip()).is_absolute():
        sys.exit(f"no sanitizers: {compiler[0]} has no {name}")
    return run.stdout.strip()


def main():
    from kgt.attention.native import loader

    if "LD_PRELOAD" not in os.environ:
        libraries = [find_library(loader.find_compiler(), name) for name in RUNTIMES]
        os.environ.update(OPTIONS, LD_PRELOAD=":".join(libraries))
        os.execv(sys.executable, [sys.executable, *sys.argv])
    import pytest

    loader.compile_library = partial(loader.compile_library, FLAGS)
    assert not loader.unavailable_reason()
    assert b"__asan_report_load" in loader.compile_library().read_bytes()
    # Captured by descriptor, the report of a finding would be lost with the process.
    return pytest.main(["--capture=sys", *(sys.argv[1:] or ["-q", "-m", "not slow", *TESTS])])


if __name__ == "__main__":
    sys.exit(main())
