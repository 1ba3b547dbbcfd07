import os
import platform
import re
import socket
import subprocess
from pathlib import Path

import numpy as np
import pydantic
import pytest
import torch

from benchmarks.records import environment
from benchmarks.records.environment import Environment, capture_environment
from benchmarks.records.git import run_git


@pytest.fixture(scope="module")
def captured():
    return capture_environment()


@pytest.fixture
def repository(tmp_path):
    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=n", "-c", "user.email=e", *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    (tmp_path / "kgt").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "kgt" / "a.py").write_text("a = 1\n")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    return tmp_path


def test_fields_say_what_the_libraries_say(captured):
    assert captured.torch == torch.__version__
    assert captured.numpy == np.__version__
    assert captured.python == platform.python_version()
    assert captured.threads == torch.get_num_threads()
    assert captured.cpu_capability == torch.backends.cpu.get_cpu_capability()
    assert len(captured.gpus) == torch.cuda.device_count()
    assert (captured.gpu_driver is None) == (not captured.gpus)
    assert captured.cpu


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs Linux's /proc")
def test_hardware_is_what_the_kernel_says(captured):
    meminfo = Path("/proc/meminfo").read_text()
    total_kib = int(re.search(r"MemTotal: +(\d+) kB", meminfo)[1])
    assert captured.ram_gib == pytest.approx(total_kib / 2**20, abs=0.51)
    assert 1 <= captured.cores <= Path("/proc/cpuinfo").read_text().count("processor\t:")


def test_nothing_names_the_machine(captured):
    text = captured.model_dump_json() + captured.describe()
    secrets = [socket.gethostname(), str(Path.home()), str(Path.cwd())]
    machine_id = Path("/etc/machine-id")
    if machine_id.exists():
        secrets.append(machine_id.read_text().strip())
    # A host called "vm" says nothing, and "vm" may be part of a kernel's release.
    assert not [secret for secret in secrets if len(secret) > 3 and secret in text]
    assert "\n" not in captured.describe()
    assert captured.key in captured.describe()


def test_environment_survives_json_and_cannot_be_changed(captured):
    restored = Environment.model_validate_json(captured.model_dump_json())
    assert restored == captured
    assert restored.key == captured.key
    with pytest.raises(pydantic.ValidationError):
        captured.threads = 7


@pytest.mark.parametrize("field", ["commit", "dirty", "timestamp"])
def test_key_ignores_the_code_and_the_hour(captured, field):
    value = True if field == "dirty" else "other"
    assert captured.model_copy(update={field: value}).key == captured.key


@pytest.mark.parametrize(
    "field", sorted(set(Environment.model_fields) - {"commit", "dirty", "timestamp"})
)
def test_key_depends_on_everything_else(captured, field):
    value = getattr(captured, field)
    other = {int: lambda: value + 1, tuple: lambda: (*value, "other")}.get(
        type(value), lambda: "other"
    )
    assert captured.model_copy(update={field: other()}).key != captured.key


def test_threads_are_read_when_captured(captured):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        changed = capture_environment()
    finally:
        torch.set_num_threads(threads)
    assert changed.threads == threads + 1
    assert changed.key != captured.key


def test_repeated_captures_share_a_key(captured):
    assert capture_environment().key == captured.key


def test_dirty_means_changed_sources(repository):
    commit, dirty = environment._read_git_state(repository)
    assert len(commit) == 40
    assert dirty is False
    (repository / "results" / "records.jsonl").write_text("{}\n")
    assert environment._read_git_state(repository) == (commit, False)
    (repository / "kgt" / "b.py").write_text("b = 1\n")
    assert environment._read_git_state(repository) == (commit, True)


def test_copy_inside_another_checkout_has_no_commit(repository):
    assert environment._read_git_state(repository / "kgt") == (None, None)


def test_machines_differ_by_their_host_name(monkeypatch):
    machine = environment._hash_machine()
    monkeypatch.setattr(platform, "node", lambda: "another-host")
    assert environment._hash_machine() != machine


def test_missing_tools_are_no_error(monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    assert capture_environment().commit is None


def test_the_commit_is_that_of_the_checkout_whatever_a_hook_says(repository, tmp_path, monkeypatch):
    commit, _ = environment._read_git_state(repository)
    other = tmp_path / "other"
    run_git(tmp_path, "init", "--quiet", str(other))
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index")
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert environment._read_git_state(repository) == (commit, False)
