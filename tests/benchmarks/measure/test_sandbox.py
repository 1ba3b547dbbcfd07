import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from benchmarks.measure.sandbox import run_isolated

MIB = 2**20
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")

WORKER = """
import multiprocessing
import os
import signal
import time
import torch

def describe_threads(size):
    a = torch.randn(size, size)
    (a @ a).exp_()
    return torch.get_num_threads(), len(os.listdir("/proc/self/task"))

def allocate(sizes):
    kept = [torch.ones(size // 4) for size in sizes]
    return sum(t.nbytes for t in kept)

def mark_and_sleep(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)

def fail_deep(message):
    def inner():
        raise KeyError(message)
    inner()

def return_lambda(_):
    return lambda: None

def exhaust(error):
    raise error

def lock_and_die(_):
    lock = multiprocessing.RLock()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """Path of an importable module; children inherit this process's sys.path."""
    folder = tmp_path_factory.mktemp("sandbox")
    (folder / "sandbox_worker.py").write_text(WORKER)
    sys.path.insert(0, str(folder))
    yield "sandbox_worker"
    sys.path.remove(str(folder))


def wait_for(condition, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def is_gone(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_value_comes_back_from_another_process():
    outcome = run_isolated("os:getpgid", 0)
    assert outcome.status == "ok"
    assert outcome.reason == ""
    first, second = (run_isolated("builtins:eval", "__import__('os').getpid()") for _ in "ab")
    assert len({os.getpid(), first.value, second.value}) == 3


def test_tensors_travel_both_ways():
    x = torch.randn(1000, 100)
    outcome = run_isolated("torch:neg", x)
    assert torch.equal(outcome.value, -x)


@pytest.mark.parametrize("threads", [1, 2])
def test_child_has_the_threads_it_was_given(worker, threads):
    outcome = run_isolated(f"{worker}:describe_threads", 1500, threads=threads)
    given, running = outcome.value
    assert given == threads
    assert running >= threads


def test_parallel_operators_work_in_the_child_with_default_threads(worker):
    assert run_isolated(f"{worker}:describe_threads", 1500).status == "ok"


@linux_only
def test_single_allocation_beyond_the_limit_is_out_of_memory(worker):
    path = f"{worker}:allocate"
    fits = run_isolated(path, [90 * MIB], memory_limit_bytes=100 * MIB)
    assert (fits.status, fits.value) == ("ok", 90 * MIB)
    outcome = run_isolated(path, [110 * MIB], memory_limit_bytes=100 * MIB)
    assert outcome.status == "oom"
    assert "DefaultCPUAllocator" in outcome.reason
    assert f"{110 * MIB} bytes" in outcome.reason


@linux_only
def test_many_small_allocations_reach_the_limit_too(worker):
    path = f"{worker}:allocate"
    assert run_isolated(path, [MIB] * 80, memory_limit_bytes=100 * MIB).status == "ok"
    outcome = run_isolated(path, [MIB] * 120, memory_limit_bytes=100 * MIB)
    assert outcome.status == "oom"
    assert f"{MIB} bytes" in outcome.reason


@linux_only
def test_python_objects_count_towards_the_limit():
    outcome = run_isolated("builtins:bytearray", 200 * MIB, memory_limit_bytes=100 * MIB)
    assert outcome.status == "oom"
    assert "MemoryError" in outcome.reason


@linux_only
def test_limit_ends_with_its_process(worker):
    path = f"{worker}:allocate"
    assert run_isolated(path, [200 * MIB], memory_limit_bytes=100 * MIB).status == "oom"
    assert run_isolated(path, [200 * MIB]).status == "ok"


def test_limit_elsewhere_than_on_linux_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NotImplementedError, match="memory_limit_bytes=5 needs Linux"):
        run_isolated("builtins:abs", 1, memory_limit_bytes=5)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB."),
        torch.OutOfMemoryError("HIP out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: you tried to allocate 9 bytes."),
        RuntimeError("std::bad_alloc"),
        MemoryError("Unable to allocate an array"),
    ],
)
def test_other_allocators_are_understood(worker, error):
    outcome = run_isolated(f"{worker}:exhaust", error)
    assert outcome.status == "oom"
    assert outcome.reason == f"{type(error).__name__}: {error}"


def test_exception_is_reported_with_type_message_and_place(worker):
    outcome = run_isolated(f"{worker}:fail_deep", "lost")
    assert outcome.status == "failed"
    assert outcome.reason.splitlines()[0] == "KeyError: 'lost'"
    assert "in inner" in outcome.reason
    assert outcome.value is None


@pytest.mark.parametrize(
    ("path", "payload", "reason"),
    [
        ("no_such_module:f", None, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("math:no_such_function", None, "AttributeError"),
        ("sys:exit", 3, "SystemExit: 3"),
        ("os:_exit", 3, "exited with code 3"),
        ("signal:raise_signal", signal.SIGSEGV, "killed by SIGSEGV"),
    ],
)
def test_every_other_end_is_a_failure(path, payload, reason):
    outcome = run_isolated(path, payload)
    assert outcome.status == "failed"
    assert reason in outcome.reason


def test_result_that_cannot_be_pickled_is_a_failure(worker):
    outcome = run_isolated(f"{worker}:return_lambda", None)
    assert outcome.status == "failed"
    assert "pickle" in outcome.reason


def test_kill_from_outside_reads_as_out_of_memory():
    outcome = run_isolated("signal:raise_signal", signal.SIGKILL)
    assert outcome.status == "oom"
    assert "SIGKILL" in outcome.reason


@linux_only
def test_timeout_kills_the_child(worker, tmp_path):
    mark = tmp_path / "pid"
    outcome = run_isolated(f"{worker}:mark_and_sleep", str(mark), timeout_s=3)
    assert outcome.status == "timeout"
    assert "3 s" in outcome.reason
    assert is_gone(int(mark.read_text()))


def spawn_parent(worker, mark):
    """A parent process whose child sleeps; returns it and the child's pid."""
    script = f"""
        import sys
        sys.path[:0] = {[str(Path.cwd()), str(Path(sys.modules[worker].__file__).parent)]!r}
        from benchmarks.measure.sandbox import run_isolated
        try:
            run_isolated("{worker}:mark_and_sleep", {str(mark)!r})
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    wait_for(lambda: mark.exists() and mark.read_text())
    return parent, int(mark.read_text())


@pytest.mark.slow
@linux_only
@pytest.mark.parametrize(
    ("ending", "printed"), [(signal.SIGINT, "interrupted\n"), (signal.SIGKILL, "")]
)
def test_child_never_outlives_its_parent(worker, tmp_path, ending, printed):
    __import__(worker)
    parent, child = spawn_parent(worker, tmp_path / "pid")
    parent.send_signal(ending)
    output, _ = parent.communicate(timeout=20)
    assert output == printed
    wait_for(lambda: is_gone(child))


@pytest.mark.slow
def test_main_module_is_not_run_again_and_no_lock_of_a_killed_child_is_left(worker, tmp_path):
    __import__(worker)
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(sys.modules[worker].__file__).parent)!r})\n"
        "from benchmarks.measure.sandbox import run_isolated\n"
        f"run_isolated('{worker}:lock_and_die', None)\n"
        "print(run_isolated('builtins:abs', -4).value)\n"
    )
    result = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.stdout == "4\n", result.stderr
    assert "leaked" not in result.stderr


def test_fresh_process_does_not_import_torch_again():
    run_isolated("builtins:abs", 1)
    begin = time.monotonic()
    for _ in range(5):
        assert run_isolated("builtins:abs", -1).value == 1
    assert time.monotonic() - begin < 5
