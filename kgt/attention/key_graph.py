"""The key-graph as data: who attends to whom, and what is derived from it.

Axis letters: W windows, N tokens per window, K keys per token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral
from typing import TypeVar, cast

import torch
from torch import Tensor

from kgt.errors import quote

PADDING = -1

Derived = TypeVar("Derived")


@dataclass(frozen=True)
class KeyGraph:
    """Who attends to whom: `indices[w, i]` are the keys of token i in window w.

    Attributes:
        indices: int32 [W, N, K]; each row holds distinct token numbers in ascending order,
            followed by `PADDING` (-1) where a token has fewer than K candidates.
        requested_k: the k asked for; K is smaller where it was clamped to the candidates.
        degrees: int32 [W, N], the number of keys per token, or None when every row is full.
        derived: results of `derive`, by the function that made them.
    """

    indices: Tensor
    requested_k: int
    degrees: Tensor | None = None
    derived: dict[Callable[[KeyGraph], object], object] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    # Of the indices: as `derived` knows them, and as they were found to be rows of keys.
    _known: tuple[int, int] | None = field(default=None, init=False, repr=False, compare=False)
    _checked: tuple[int, int] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        indices, degrees = self.indices, self.degrees
        if indices.ndim != 3 or indices.dtype != torch.int32 or not indices.numel():
            raise ValueError(
                "graph indices must be a non-empty int32 [W, N, K], got "
                f"{indices.dtype} {list(indices.shape)}"
            )
        check_count("requested_k", self.requested_k)
        if degrees is not None and (
            degrees.shape != indices.shape[:2]
            or degrees.dtype != torch.int32
            or degrees.device != indices.device
        ):
            raise ValueError(
                f"graph degrees must be int32 {list(indices.shape[:2])} on {indices.device}, got "
                f"{degrees.dtype} {list(degrees.shape)} on {degrees.device}"
            )

    @property
    def windows(self) -> int:
        """Number of windows W."""
        return self.indices.shape[0]

    @property
    def nodes(self) -> int:
        """Number of tokens N per window."""
        return self.indices.shape[1]

    @property
    def k(self) -> int:
        """Number of keys K kept per token (the row length)."""
        return self.indices.shape[2]

    @property
    def clamped(self) -> bool:
        """Whether more keys were asked for than a window has candidates."""
        return self.k < self.requested_k

    def derive(self, make: Callable[[KeyGraph], Derived]) -> Derived:
        """The result of `make` for this graph, computed once: the layers of a stage share it.

        Once more where the indices were changed in place.
        """
        if not torch.compiler.is_compiling():
            state = self._state()
            if state is None or state != self._known:
                self.derived.clear()
                object.__setattr__(self, "_known", state)
        if make not in self.derived:
            self.derived[make] = _outside_inference_mode(make, self)
        return cast(Derived, self.derived[make])

    def check(self) -> None:
        """Look at every index, once, and once more where they were changed in place.

        Raises:
            ValueError: naming the first token whose row is not as `indices` says.
        """
        if torch.compiler.is_compiling():
            return
        state = self._state()
        if state is None or state != self._checked:
            _check_rows(self)
            object.__setattr__(self, "_checked", state)

    def _state(self) -> tuple[int, int] | None:
        """What a change in place of the indices changes; None where torch does not count them."""
        indices = self.indices
        wrapped = torch._C._functorch.is_functorch_wrapped_tensor(indices)
        if indices.is_inference() or wrapped or type(indices) is not Tensor:
            return None
        return indices.data_ptr(), indices._version

    def valid(self) -> Tensor | None:
        """Bool [W, N, K], true where an index names a key; None when every row is full."""
        return None if self.degrees is None else self.indices >= 0

    def safe_indices(self) -> Tensor:
        """int64 [W, N, K] with padding replaced by the row's first key, fit for gather/scatter."""
        indices = self.indices.long()
        return (
            indices if self.degrees is None else torch.where(indices < 0, indices[..., :1], indices)
        )

    def to_mask(self) -> Tensor:
        """The graph as a dense bool [W, N, N], true where query (row) attends to key (column)."""
        mask = torch.zeros(
            self.windows, self.nodes, self.nodes, dtype=torch.bool, device=self.indices.device
        )
        # A 1 can be traced by torch.jit, and with it by fvcore; True cannot.
        return mask.scatter_(-1, self.safe_indices(), 1)


def check_count(name: str, count: object) -> None:
    """Refuse what is no number of keys.

    Raises:
        ValueError: for what is no whole number, or below 1.
    """
    if not isinstance(count, Integral | torch.SymInt) or isinstance(count, bool) or count < 1:
        raise ValueError(
            f"{name} = {quote(count)}: a token needs a whole number of keys, at least 1"
        )


def _outside_inference_mode(make: Callable[[KeyGraph], Derived], graph: KeyGraph) -> Derived:
    """Made in inference mode, too, the result serves a backward pass later."""
    if torch.compiler.is_compiling():
        return make(graph)
    with torch.inference_mode(False):
        return make(graph)


def _check_rows(graph: KeyGraph) -> None:
    indices, nodes, k = graph.indices, graph.nodes, graph.k
    slots = torch.arange(k, device=indices.device, dtype=torch.int32)
    full = torch.full_like(indices[..., 0], k)
    degrees = full if graph.degrees is None else graph.degrees
    held = slots < degrees[..., None]
    good = torch.where(held, (indices >= 0) & (indices < nodes), indices == PADDING)
    good[..., 1:] &= (indices[..., 1:] > indices[..., :-1]) | ~held[..., 1:]
    good = good.all(-1) & (degrees > 0) & (degrees <= k)
    if not good.all():
        window, token = (~good).nonzero()[0].tolist()
        raise ValueError(
            f"graph: the keys of token {token} in window {window} must be ascending numbers of 0 "
            f"to {nodes - 1}, at least one, followed by -1 where there are fewer than {k}, as "
            "the degrees say"
        )
