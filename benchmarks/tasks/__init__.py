"""Restoration tasks by name: a module per family, with its degradations, protocols and tasks."""

from __future__ import annotations

from benchmarks.tasks import (
    deblurring,
    demosaicking,
    denoising,
    jpeg,
    super_resolution,
    twins,
    weather,
)
from benchmarks.tasks.metrics import Metric
from benchmarks.tasks.protocols import Protocol
from benchmarks.tasks.task import Pair, Task
from kgt.errors import unknown

__all__ = [
    "Pair",
    "Protocol",
    "Task",
    "get_metric",
    "get_protocol",
    "get_task",
    "list_protocols",
    "list_tasks",
]

_FAMILIES = (super_resolution, denoising, jpeg, demosaicking, deblurring, weather, twins)

TASKS: dict[str, Task] = {task.name: task for family in _FAMILIES for task in family.TASKS}
PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol for task in TASKS.values() for protocol in task.protocols
}
# Variants of a metric, among which protocols choose, have the same unit, sign and digits.
METRICS: dict[str, Metric] = {
    column.name: column.metric for protocol in PROTOCOLS.values() for column in protocol.columns
}


def list_tasks() -> list[str]:
    """Names of the tasks, sorted."""
    return sorted(TASKS)


def get_task(name: str) -> Task:
    """Look a task up by name.

    Raises:
        ValueError: unknown name.
    """
    if name not in TASKS:
        raise unknown("task", name, list_tasks())
    return TASKS[name]


def list_protocols() -> list[str]:
    """Names of the protocols, sorted."""
    return sorted(PROTOCOLS)


def get_protocol(name: str) -> Protocol:
    """Look a protocol up by name.

    Raises:
        ValueError: unknown name.
    """
    if name not in PROTOCOLS:
        raise unknown("protocol", name, list_protocols())
    return PROTOCOLS[name]


def get_metric(column: str) -> Metric:
    """The metric of a protocol's column: its unit, digits, and whether higher is better.

    Raises:
        KeyError: no protocol has such a column.
    """
    return METRICS[column]
