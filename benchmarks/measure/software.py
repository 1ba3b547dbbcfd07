"""The software and data that measurements use, as findings of `machine`."""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path

import torch

from benchmarks.data.datasets import DATA_ROOT_VARIABLE, find_dataset
from benchmarks.data.manifest import GENERATED, MANIFEST
from benchmarks.measure.machine import NOT_READABLE, Finding, grade_by, make_finding
from benchmarks.tasks.perceptual import find_backbone, lpips_unavailable_reason
from kgt.attention.native import NativeUnavailableError, unavailable_reason
from kgt.attention.native.loader import find_compiler

QUIET_DISK_BYTES, USABLE_DISK_BYTES = 2**30, 100 * 2**20
_GPU_FIELDS = (
    *("name", "driver_version", "persistence_mode"),
    *("clocks.sm", "clocks.max.sm", "utilization.gpu"),
)


def check_compiler() -> Finding:
    """Whether the native operators load; compiles them where that has not been done yet."""
    start = time.perf_counter()
    reason = unavailable_reason()
    seconds = time.perf_counter() - start
    if reason:
        return Finding("native", "usable", reason, "auto takes sdpa instead; see the README")
    return Finding("native", "quiet", f"{_describe_compiler()}; ready after {seconds:.1f} s")


def _describe_compiler() -> str:
    try:
        compiler = find_compiler()
    except NativeUnavailableError as error:
        return str(error)
    lines = (_run(*compiler, "--version") or "").splitlines()
    return lines[0] if lines else shlex.join(compiler)


def check_triton() -> Finding:
    """Whether Triton is installed, and can do more than interpret."""
    try:
        version = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return Finding("triton", None, "not installed")
    without = "" if torch.cuda.is_available() else ", interpreter only without a GPU"
    return Finding("triton", None, version + without)


def check_gpu() -> list[Finding]:
    """A finding for each GPU that torch sees; one that says none where it sees none."""
    if not torch.cuda.is_available():
        return [Finding("GPU", None, "none")]
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    query = f"--query-gpu={','.join(_GPU_FIELDS)}"
    output = _run("nvidia-smi", query, "--format=csv,noheader,nounits")
    if output is None:
        return [Finding("GPU", None, f"{name}; clocks {NOT_READABLE}") for name in names]
    return [judge_gpu(line) for line in output.splitlines()]


def judge_gpu(line: str) -> Finding:
    """Grade one line of nvidia-smi: name, driver, persistence, clock, largest clock, use in %."""
    name, driver, persistence, clock, largest, used = (part.strip() for part in line.split(","))
    value = f"{name}, driver {driver}, {clock} of {largest} MHz, {used} % used"
    if used.isdecimal() and int(used) > 5:
        return Finding("GPU", "unfit", value, "wait for what else runs on it (nvidia-smi names it)")
    if persistence == "Disabled":
        advice = "nvidia-smi -pm 1 keeps the driver loaded between runs"
        return Finding("GPU", "usable", f"{value}, persistence off", advice)
    return Finding("GPU", "quiet", value)


def check_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> Finding:
    """Instruction set that torch dispatches to, and the matrix unit of the processor."""
    try:
        has_amx = "amx_tile" in cpuinfo.read_text().split()
    except OSError:
        has_amx = False
    capability = torch.backends.cpu.get_cpu_capability()
    return Finding("instructions", None, f"{capability}, {'AMX' if has_amx else 'no AMX'}")


def check_data() -> Finding:
    """How many splits of sets of others are here, by counting files; `doctor data` decodes them."""
    root = os.environ.get(DATA_ROOT_VARIABLE)
    if root and not Path(root).is_dir():
        advice = f"set {DATA_ROOT_VARIABLE} to a folder of image sets"
        return Finding("data", "usable", f"{DATA_ROOT_VARIABLE}={root} is no folder", advice)
    here, whole, splits = 0, 0, 0
    for name in MANIFEST.keys() - GENERATED:
        for split, entry in MANIFEST[name].items():
            splits += 1
            try:
                images = len(find_dataset(name, split))
            except (ValueError, OSError):
                continue
            here += 1
            whole += images == entry.count
    value = f"{here} of {splits} splits here, {whole} with the published count"
    if root:
        return Finding("data", None, value)
    return Finding("data", None, value, f"set {DATA_ROOT_VARIABLE} to measure quality on more sets")


def check_lpips() -> Finding:
    """Whether LPIPS has its backbone."""
    reason = lpips_unavailable_reason()
    return Finding("LPIPS", None, "no backbone" if reason else str(find_backbone()), reason)


def check_disk(folder: Path) -> Finding:
    """Space for records and reports where they are written."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    grade = grade_by(-free, -QUIET_DISK_BYTES, -USABLE_DISK_BYTES)
    advice = f"free space on the disk of {folder}"
    return make_finding("disk", grade, f"{free / 2**30:.1f} GiB free for results", advice)


def _run(*command: str) -> str | None:
    """Output of a command, or None if it is missing or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
