"""What a backend is: a function, its closed-form cost, and what it supports."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kgt.attention.call import AttentionCall, AttentionShape
from kgt.attention.compiling import once
from kgt.attention.cost import Cost


@dataclass(frozen=True)
class Backend:
    """One implementation of key-graph attention.

    Attributes:
        name: registry key.
        attend: the function from a call to out [W, H, N, D].
        cost: closed-form cost of a shape on this backend; None where it is never measured.
        priority: `auto` takes the supported backend of the highest priority; None is never taken.
        devices: device types it runs on.
        dtypes: element types it takes.
        backward: whether it yields gradients.
        exportable: whether it is made of operators that runtimes other than torch have.
        package: an importable package it needs, empty for none.
        limits: further reasons why it cannot attend in a shape; what takes long to find out, such
            as whether it compiles, is left for shapes that nothing else rules out.
    """

    name: str
    attend: Callable[[AttentionCall], Tensor]
    cost: Callable[[AttentionShape], Cost] | None = None
    priority: int | None = None
    devices: tuple[str, ...] = ("cpu", "cuda")
    dtypes: tuple[torch.dtype, ...] = (
        torch.float64,
        torch.float32,
        torch.bfloat16,
        torch.float16,
    )
    backward: bool = True
    exportable: bool = True
    package: str = ""
    limits: Callable[[AttentionShape], list[str]] = lambda shape: []

    def unsupported_reasons(self, shape: AttentionShape) -> list[str]:
        """Every reason why this backend cannot attend in a shape; empty when it can."""
        reasons = []
        if self.package and not _is_installed(self.package):
            reasons.append(f"needs the package {self.package}, which is not installed")
        if shape.device not in self.devices:
            reasons.append(f"runs on {' or '.join(self.devices)} devices, not on {shape.device}")
        if shape.dtype not in self.dtypes:
            supported = ", ".join(str(dtype).removeprefix("torch.") for dtype in self.dtypes)
            reasons.append(f"takes {supported}, not {str(shape.dtype).removeprefix('torch.')}")
        if shape.requires_grad and not self.backward:
            reasons.append("has no backward pass, and gradients are required")
        if torch.compiler.is_exporting() and not self.exportable:
            reasons.append("is made of operators that no runtime but torch has")
        return reasons + self.limits(shape)


@once
def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
