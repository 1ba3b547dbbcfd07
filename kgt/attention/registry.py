"""The backends by name, and the choice among them.

A backend gives every reason why it cannot attend in a shape; a named backend either runs or raises
with them. Only `auto` chooses, and it logs what it chose.
"""

from __future__ import annotations

import logging
from importlib import import_module

import torch

from kgt.attention.backend import Backend
from kgt.attention.call import AttentionShape
from kgt.errors import unknown

# The modules with a BACKEND, in the order in which they are listed.
_MODULES = (
    "reference",
    "torch_mask",
    "torch_gather",
    "sdpa",
    "flex",
    "native.backend",
    "triton.backend",
)

_log = logging.getLogger(__name__)

_BACKENDS: dict[str, Backend] = {}


def register(backend: Backend) -> None:
    """Add a backend under its name."""
    if backend.name in _BACKENDS:
        raise ValueError(f"backend {backend.name!r} is registered already")
    _BACKENDS[backend.name] = backend


for _name in _MODULES:
    register(import_module(f"kgt.attention.{_name}").BACKEND)


def list_backends() -> list[str]:
    """Names of the attention backends of this version, in the order of registration."""
    return list(_BACKENDS)


def get_backend(name: str) -> Backend:
    """Look a backend up.

    Raises:
        ValueError: for an unknown name, listing the valid ones, the nearest first.
    """
    if name not in _BACKENDS:
        raise unknown("backend", name, ["auto", *_BACKENDS])
    return _BACKENDS[name]


def choose_backend(shape: AttentionShape, name: str = "auto") -> Backend:
    """The backend that will attend in a shape.

    Args:
        shape: axes, types and demands of the call.
        name: a backend's name, or "auto" for the supported one of the highest priority.

    Raises:
        ValueError: when the named backend, or under "auto" every candidate, cannot; the message
            lists all reasons.
    """
    if name == "auto":
        ranked = [backend for backend in _BACKENDS.values() if backend.priority is not None]
        candidates = sorted(ranked, key=lambda backend: -(backend.priority or 0))
    else:
        candidates = [get_backend(name)]
    refusals = []
    for backend in candidates:
        reasons = backend.unsupported_reasons(shape)
        if not reasons:
            if name == "auto" and not torch.compiler.is_compiling():
                _log.info("auto picked %s for %s", backend.name, shape)
            return backend
        refusals.append(f"{backend.name} {'; '.join(reasons)}")
    raise ValueError(f"no backend can do {shape}: " + " | ".join(refusals))
