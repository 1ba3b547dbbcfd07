"""The paired tier's processes and worktrees, on trees of a few lines that do not need torch."""

import os
import subprocess
import textwrap
import time
from functools import partial
from pathlib import Path

import pytest

from benchmarks.regression.comparison import compare, is_head
from benchmarks.regression.paired import confirm
from benchmarks.regression.process import WorkerError, WorkerServer, WorkerTimeoutError
from benchmarks.regression.worktree import checked_out, resolve_commit

WORKLOADS = """
import numpy as np

def make_work():
    import kgt
    return lambda: np.full(4, kgt.work(), dtype=np.float32)

def make_missing():
    import baselines
    return lambda: np.zeros(1)

WORKLOADS = {"work": make_work, "missing": make_missing}
"""
BUSY = """
import time
def work():
    until = time.perf_counter() + {ms} / 1e3
    while time.perf_counter() < until:
        pass
    return {value}
"""


def write_tree(folder, source):
    (folder / "kgt").mkdir(parents=True)
    (folder / "kgt" / "__init__.py").write_text(textwrap.dedent(source))
    return folder


@pytest.fixture
def tree(tmp_path):
    return lambda name, source: write_tree(tmp_path / name, source)


@pytest.fixture
def server(tmp_path):
    (tmp_path / "workloads.py").write_text(WORKLOADS)
    with WorkerServer(20.0, tmp_path / "workloads.py") as server:
        yield server


def compare_trees(server, base, head, names=("work",)):
    def start(side):
        return server.fork(head if is_head(side) else base)

    return compare(names, start, budget_s=0.5, threshold=0.02)


def runs(pid):
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        return status.rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until_gone(pid):
    deadline = time.monotonic() + 10
    while runs(pid):
        assert time.monotonic() < deadline, f"{pid} still runs"
        time.sleep(0.01)


def test_a_slow_path_in_head_is_slower(server, tree):
    base = tree("base", BUSY.format(ms=1, value=1))
    head = tree("head", BUSY.format(ms=2, value=1))
    (result,) = confirm(["work"], partial(compare_trees, server, base, head))
    assert (result.verdict.label, result.confirmed) == ("SLOWER", True)
    assert result.ratio.value == pytest.approx(2, rel=0.2)


def test_a_planted_slowdown_lengthens_each_call(server, tree):
    worker = server.fork(tree("base", BUSY.format(ms=2, value=1)), planted=1.0)
    worker.prepare("work")
    assert min(worker.time_calls_ms(5)) >= 4


def test_a_wrong_output_in_head_is_caught(server, tree):
    base = tree("base", BUSY.format(ms=0.1, value=1))
    head = tree("head", BUSY.format(ms=0.1, value=1.01))
    (result,) = compare_trees(server, base, head)
    assert result.status == "wrong-output"
    assert "up to 0.01," in result.reason


def test_a_crash_fails_that_benchmark(server, tree):
    base = tree("base", BUSY.format(ms=0.1, value=1))
    head = tree(
        "head", "import os, sys\ndef work():\n  print('last words', flush=True)\n  os.abort()"
    )
    (result,) = compare_trees(server, base, head)
    assert result.status == "failed"
    assert result.reason.startswith("head: the process died")
    assert result.reason.endswith("last words | Fatal Python error: Aborted")


def test_an_error_says_its_type_and_text(server, tree):
    worker = server.fork(tree("base", "def work(): raise OverflowError('too much')"))
    with pytest.raises(WorkerError, match="OverflowError: too much"):
        worker.prepare("work")


def test_printing_disturbs_no_answer(server, tree):
    worker = server.fork(tree("base", "def work():\n  print('noise' * 999)\n  return 1"))
    assert worker.prepare("work").tolist() == [1] * 4


def test_a_hang_is_killed(server, tree):
    source = "import os, time\npid = os.getpid()\ndef work():\n  time.sleep(60)"
    hung = server.fork(tree("head", source))
    pid = hung._pid
    patience_s, server.timeout_s = server.timeout_s, 0.3
    with pytest.raises(WorkerTimeoutError, match=r"no answer within 0\.3 s"):
        hung.prepare("work")
    assert runs(pid)
    hung.close()
    wait_until_gone(pid)
    server.timeout_s = patience_s
    fresh = server.fork(tree("base", BUSY.format(ms=0.1, value=1)))
    assert fresh.prepare("work").tolist() == [1] * 4


def test_a_package_that_the_tree_lacks_is_not_taken_from_elsewhere(server, tree):
    worker = server.fork(tree("base", BUSY.format(ms=0.1, value=1)))
    with pytest.raises(WorkerError, match="no package 'baselines' in the measured tree"):
        worker.prepare("missing")


def test_a_tree_that_does_not_import(server, tree, tmp_path):
    with pytest.raises(WorkerError, match="ZeroDivisionError: division by zero"):
        server.fork(tree("broken", "1 / 0"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkerError, match="kgt"):
        server.fork(tmp_path / "empty")


def test_leaving_kills_all_workers(tmp_path, tree):
    (tmp_path / "workloads.py").write_text(WORKLOADS)
    source = BUSY.format(ms=0.1, value=1)
    with WorkerServer(20.0, tmp_path / "workloads.py") as server:
        workers = [server.fork(tree(name, source)) for name in "ab"]
        pids = [worker._pid for worker in workers] + [server._process.pid]
        assert all(runs(pid) for pid in pids)
    for pid in pids:
        wait_until_gone(pid)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository whose first commit does not import and whose second does."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "nobody")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "nobody@example.org")
    root = tmp_path / "repository"
    write_tree(root, "import nonsense_that_is_not_there")
    git(root, "init", "--quiet")
    commit(root)
    (root / "kgt" / "__init__.py").write_text(BUSY.format(ms=0.1, value=1))
    commit(root)
    return root


def git(root, *arguments):
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(root):
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "a state")


def count_worktrees(root):
    return git(root, "worktree", "list", "--porcelain").count("worktree ")


def test_a_commit_is_checked_out_and_removed(repository):
    first = resolve_commit(repository, "HEAD~1")
    (repository / "kgt" / "__init__.py").write_text("changed = True")
    with checked_out(repository, first) as folder:
        assert "nonsense" in (folder / "kgt" / "__init__.py").read_text()
    assert not folder.exists()
    assert count_worktrees(repository) == 1
    assert (repository / "kgt" / "__init__.py").read_text() == "changed = True"


def test_a_worktree_is_removed_after_an_error(repository):
    with (
        pytest.raises(KeyboardInterrupt),
        checked_out(repository, resolve_commit(repository, "HEAD")) as folder,
    ):
        raise KeyboardInterrupt
    assert not folder.exists()
    assert count_worktrees(repository) == 1


def test_what_killed_runs_left_is_removed(repository, tmp_path):
    process = subprocess.Popen(["true"])
    process.wait()
    left = tmp_path / f"kgt-base-{process.pid}-x"
    alive = tmp_path / f"kgt-base-{os.getpid()}-x"
    for folder in (left, alive):
        git(repository, "worktree", "add", "--detach", str(folder / "tree"))
    with checked_out(repository, resolve_commit(repository, "HEAD")):
        assert not left.exists()
        assert (alive / "tree").exists()


def test_a_base_commit_that_does_not_import(repository, server):
    with (
        checked_out(repository, resolve_commit(repository, "HEAD~1")) as folder,
        pytest.raises(WorkerError, match="ModuleNotFoundError: No module named 'nonsense"),
    ):
        server.fork(folder)


def test_outside_of_a_checkout(tmp_path):
    with pytest.raises(ValueError, match="is not a git checkout"):
        resolve_commit(tmp_path, "HEAD")
