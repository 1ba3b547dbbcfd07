"""What torch.compile does not look into, and whether it or another tracer is looking."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache, wraps
from typing import Any, TypeVar

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])


def is_traced() -> bool:
    """Whether a compiler, or a tracer that knows torch's own operators alone, records this call."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def once(make: Function) -> Function:
    """Cache a function's results; torch.compile takes them for constants.

    As `torch.compiler.assume_constant_result` does it, which takes a second to import.
    """
    cached = cache(make)

    @wraps(make)
    def constant(*arguments: Any) -> Any:
        return cached(*arguments)

    constant._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return constant  # type: ignore[return-value]


def remembered(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Cache the tensors that a function makes, but not the ones without values of a compiler."""
    # A cached inference tensor would be useless to training later.
    cached = lru_cache(maxsize=64)(torch.inference_mode(False)(make))

    @wraps(make)
    def remember(*arguments: Any) -> Tensor:
        return (make if torch.compiler.is_compiling() else cached)(*arguments)

    return remember
