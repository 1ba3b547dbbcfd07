"""What a timing depends on besides the code: hardware, system and library versions."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from benchmarks.records.git import run_git

_ROOT = Path(__file__).resolve().parents[2]
_SOURCES = ("kgt", "baselines", "benchmarks", "pyproject.toml")
_KEY_IGNORES = {"commit", "dirty", "timestamp"}


def describe_threads(count: int) -> str:
    """How many threads, e.g. "2 threads"."""
    return f"{count} thread{'s' if count > 1 else ''}"


class Environment(BaseModel):
    """Where and with what a measurement was taken.

    Attributes:
        cpu: model name of the processor.
        cores, threads: logical processors this process may use, and torch's intra-op threads.
        cpu_capability: instruction set that torch dispatches to.
        ram_gib: installed memory, rounded to GiB.
        os: kernel name and release.
        gpus, gpu_driver: names of the visible GPUs, and the version of their driver.
        machine: salted hash, different for each machine, that names none.
        commit, dirty: git commit of the measured code, and whether its sources differ from it;
            None outside a checkout.
        timestamp: when the environment was captured, UTC, ISO 8601.
    """

    model_config = ConfigDict(frozen=True)

    cpu: str
    cores: int
    threads: int
    cpu_capability: str
    ram_gib: int
    os: str
    python: str
    torch: str
    triton: str | None
    numpy: str
    gpus: tuple[str, ...]
    gpu_driver: str | None
    machine: str
    commit: str | None
    dirty: bool | None
    timestamp: str

    @property
    def key(self) -> str:
        """Short hash of all fields but commit and time: times compare only where it is equal."""
        fields = self.model_dump(mode="json", exclude=_KEY_IGNORES)
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def place(self) -> str:
        """Processor or GPU, and how many threads were used."""
        if self.gpus:
            return ", ".join(dict.fromkeys(self.gpus))
        return f"{self.cpu}, {describe_threads(self.threads)}"

    def describe(self) -> str:
        """One line for the foot of a table, without host names or paths."""
        gpus = f"{', '.join(self.gpus)} (driver {self.gpu_driver})" if self.gpus else "no GPU"
        return (
            f"{self.cpu} ({self.cores} cores, {self.threads} threads, {self.cpu_capability}), "
            f"{self.ram_gib} GiB, {gpus}, {self.os}, Python {self.python}, torch {self.torch}, "
            f"triton {self.triton or 'none'}, numpy {self.numpy}; environment {self.key}"
        )


def capture_environment() -> Environment:
    """Describe the machine and the software of this process."""
    commit, dirty = _read_git_state(_ROOT)
    return Environment(
        cpu=_read_cpu_model(),
        cores=_count_cores(),
        threads=torch.get_num_threads(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        ram_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        torch=torch.__version__,
        triton=_read_version("triton"),
        numpy=np.__version__,
        gpus=tuple(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())),
        gpu_driver=_read_gpu_driver(),
        machine=_hash_machine(),
        commit=commit,
        dirty=dirty,
        timestamp=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _run(*command: str) -> str | None:
    """Output of a command, or None if it is missing or fails."""
    if shutil.which(command[0]) is None:
        return None
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None


def _read_cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    brand = _run("sysctl", "-n", "machdep.cpu.brand_string")
    return brand or platform.processor() or platform.machine()


def _count_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _read_gpu_driver() -> str | None:
    if not torch.cuda.is_available():
        return None
    if torch.version.hip is not None:
        return f"ROCm {torch.version.hip}"
    drivers = _run("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return drivers.splitlines()[0] if drivers else None


def _hash_machine() -> str:
    try:
        machine_id = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine_id = ""
    secret = f"kgt-environment/{machine_id}/{platform.node()}"
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


def _read_git_state(root: Path) -> tuple[str | None, bool | None]:
    """Commit and dirty flag of `root`; only its sources count, not the results written to it."""
    # An installed copy may lie inside somebody else's checkout.
    if not (root / ".git").exists():
        return None, None
    try:
        commit = run_git(root, "rev-parse", "--verify", "HEAD")
        changes = run_git(root, "status", "--porcelain", "--", *_SOURCES)
    except OSError:
        return None, None
    return (
        None if commit.returncode else commit.stdout.strip(),
        None if changes.returncode else bool(changes.stdout.strip()),
    )
