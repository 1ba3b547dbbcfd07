"""All checks of a machine before it may measure."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks.measure import machine, software
from benchmarks.records.environment import capture_environment
from kgt.attention.native import unavailable_reason
from kgt.cli import OnProgress

FLOOR_BUDGET_S = 8.0


def check_machine(on_progress: OnProgress) -> list[machine.Finding]:
    """Run all checks, which takes less than 30 seconds."""
    findings: list[machine.Finding] = []
    for done, (name, check) in enumerate(list_checks().items()):
        on_progress(name, done / len(list_checks()))
        found = check()
        findings += [found] if isinstance(found, machine.Finding) else found
    return findings


def list_checks() -> dict[str, Callable[[], machine.Finding | list[machine.Finding]]]:
    """All checks, in an order that lets none disturb a later one: ours are no load of others."""
    threads, cores = torch.get_num_threads(), capture_environment().cores
    return {
        "load by others": machine.check_load,
        "run queue": machine.check_queue,
        "timer": machine.check_timer,
        "threads": partial(machine.check_threads, threads, cores),
        "frequency": machine.check_frequency,
        "memory probe": machine.check_memory_probe,
        "free memory": machine.check_free_memory,
        "native": software.check_compiler,
        "triton": software.check_triton,
        "GPU": software.check_gpu,
        "instructions": software.check_instructions,
        "data": software.check_data,
        "LPIPS": software.check_lpips,
        "disk": partial(software.check_disk, Path("results").absolute()),
        "A/A floor": check_floor,
    }


def check_floor() -> list[machine.Finding]:
    """The A/A floor of the backend that "auto" would take."""
    backend = "sdpa" if unavailable_reason() else "native"
    return machine.judge_floor(machine.measure_floor(backend, FLOOR_BUDGET_S))
