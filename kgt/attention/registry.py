"""The backends as data, and the choice among them.

A backend says what it supports and why it cannot do a given problem; a named backend either runs
or raises with every reason. Only `auto` chooses, and it says what it chose.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kgt.attention.call import AttentionProblem
from kgt.attention.cost import Cost
from kgt.attention.graph import KeyGraph

Attend = Callable[[Tensor, Tensor, Tensor, KeyGraph, Tensor | None, float, int | None], Tensor]

_log = logging.getLogger(__name__)

_BACKENDS: dict[str, Backend] = {}


@dataclass(frozen=True)
class Backend:
    """One implementation of key-graph attention.

    Attributes:
        name: registry key.
        attend: (q, k, v, graph, bias table, scale, byte budget) -> out, shapes as
            `key_graph_attention`.
        cost: closed-form cost of a problem on this backend; None where it is never measured.
        priority: `auto` takes the supported backend of the highest priority; None is never taken.
        devices: device types it runs on.
        dtypes: element types it takes.
        backward: whether it yields gradients.
        package: an importable package it needs, empty for none.
        limits: problem -> further reasons why it cannot be done; asked last, as it may compile.
    """

    name: str
    attend: Attend
    cost: Callable[[AttentionProblem], Cost] | None = None
    priority: int | None = None
    devices: tuple[str, ...] = ("cpu", "cuda")
    dtypes: tuple[torch.dtype, ...] = (
        torch.float64,
        torch.float32,
        torch.bfloat16,
        torch.float16,
    )
    backward: bool = True
    package: str = ""
    limits: Callable[[AttentionProblem], list[str]] | None = None

    def unsupported_reasons(self, problem: AttentionProblem) -> list[str]:
        """Every reason why this backend cannot do the problem; empty when it can."""
        reasons = []
        if self.package and importlib.util.find_spec(self.package) is None:
            reasons.append(f"needs the package {self.package}, which is not installed")
        if problem.device not in self.devices:
            reasons.append(f"runs on {' or '.join(self.devices)} devices, not on {problem.device}")
        if problem.dtype not in self.dtypes:
            supported = ", ".join(str(dtype).removeprefix("torch.") for dtype in self.dtypes)
            reasons.append(f"takes {supported}, not {str(problem.dtype).removeprefix('torch.')}")
        if problem.requires_grad and not self.backward:
            reasons.append("has no backward pass, and gradients are required")
        if not reasons and self.limits is not None:
            reasons += self.limits(problem)
        return reasons


def register(backend: Backend) -> None:
    """Add a backend under its name."""
    if backend.name in _BACKENDS:
        raise ValueError(f"backend {backend.name!r} is registered already")
    _BACKENDS[backend.name] = backend


def list_backends() -> list[str]:
    """Names of the attention backends of this version, in the order of registration."""
    return list(_BACKENDS)


def get_backend(name: str) -> Backend:
    """Look a backend up.

    Raises:
        ValueError: for an unknown name, listing the valid ones.
    """
    if name not in _BACKENDS:
        raise ValueError(f"unknown backend {name!r}; valid: auto, {', '.join(_BACKENDS)}")
    return _BACKENDS[name]


def choose_backend(problem: AttentionProblem, name: str = "auto") -> Backend:
    """The backend that will do the problem.

    Args:
        problem: what is asked.
        name: a backend's name, or "auto" for the supported one of the highest priority.

    Raises:
        ValueError: when the named backend, or under "auto" every candidate, cannot do it; the
            message lists all reasons.
    """
    if name == "auto":
        ranked = [backend for backend in _BACKENDS.values() if backend.priority is not None]
        candidates = sorted(ranked, key=lambda backend: -(backend.priority or 0))
    else:
        candidates = [get_backend(name)]
    refusals = []
    for backend in candidates:
        reasons = backend.unsupported_reasons(problem)
        if not reasons:
            if name == "auto":
                _log.info("auto picked %s for %s", backend.name, problem)
            return backend
        refusals.append(f"{backend.name} {'; '.join(reasons)}")
    raise ValueError(f"no backend can do {problem}: " + " | ".join(refusals))
