"""Bytes of tensors alive at the same time, and the options of the allocator beneath them."""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # malloc.h


def set_malloc(options: Mapping[int, int]) -> None:
    """Set options of glibc's malloc for the whole process; another libc has none.

    Args:
        options: values by the numbers that malloc.h gives the options.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        for option, value in options.items():
            mallopt(option, value)


def keep_freed_memory() -> None:
    """Let this process keep what it frees for what it allocates next, where libc is glibc.

    A network frees maps of tens of megabytes at every layer and asks for as large ones at once.
    Left alone, glibc maps each such block anew, and the system clears it page by page: a third of
    the time of a large picture. For commands alone, for it holds for the whole process.
    """
    set_malloc({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1})


class LiveTensorBytes(TorchDispatchMode):
    """Counts the bytes of tensor storages that operators allocate while it is active.

    Views and in-place results share a storage and count once; a storage leaves the count when
    its last tensor dies, be it held by Python or saved for the backward pass. Tensors made
    before, and memory that an operator frees before it returns, are not seen.

    Attributes:
        live: bytes alive now.
        peak: largest `live` so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._tracked: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one operator and count the storages it allocated."""
        kwargs = kwargs or {}
        # torch.tensor fills its storage before the dispatcher sees it, as lift_fresh's input.
        fresh_input = func is torch.ops.aten.lift_fresh.default
        given = set() if fresh_input else {s._cdata for s in _storages((args, kwargs))}
        output = func(*args, **kwargs)
        for storage in _storages(output):
            if storage._cdata in self._tracked or storage._cdata not in given:
                self._update(storage)
        self.peak = max(self.peak, self.live)
        return output

    def _update(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._tracked:
            reference, counted = self._tracked[key]
        else:
            reference, counted = weakref.ref(storage, lambda _: self._forget(key)), 0
        self._tracked[key] = reference, size
        self.live += size - counted

    def _forget(self, key: int) -> None:
        self.live -= self._tracked.pop(key)[1]


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    return [
        leaf.untyped_storage()
        for leaf in tree_leaves(tree)
        if isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided
    ]
