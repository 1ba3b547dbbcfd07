"""A cell: one experiment as frozen data. Its id and hash are derived, never typed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["latency", "memory", "quality", "training"]


class Cell(BaseModel):
    """One experiment; a field that does not apply is None.

    Attributes:
        kind: what is measured.
        task, dataset, protocol: of a quality cell.
        model: network or method by its registry name.
        recipe: training recipe of a network that is trained here; of a printed row where it is
            printed, and which variant of its method it is.
        n, k: tokens per window and keys per token.
        backend: attention backend that is measured, or "dense" (every key, no graph).
        baseline: backend that a latency is relative to.
        windows, heads, head_dim: the other axes of an attention problem.
        graph: "photo" (features of photographs) or "random" (uniform keys).
        byte_budget: bytes a chunked backend may hold; None is its default, 0 without limit.
        bias: whether a position-bias table is added to the scores.
        layers: layers that share what a backend derives from the graph; None is 6.
        device: "cuda" for a GPU; None is the CPU.
        threads: torch's intra-op threads; None is the environment's number.
        dtype: element type.
        mode: "forward" or "backward" (forward and backward).
        seed: seed of inputs or training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    kind: Kind
    task: str | None = None
    dataset: str | None = None
    model: str | None = None
    recipe: str | None = None
    protocol: str | None = None
    n: int | None = None
    k: int | None = None
    backend: str | None = None
    baseline: str | None = None
    windows: int | None = None
    heads: int | None = None
    head_dim: int | None = None
    graph: Literal["photo", "random"] | None = None
    byte_budget: int | None = None
    bias: bool | None = None
    layers: int | None = None
    device: Literal["cuda"] | None = None
    threads: int | None = None
    dtype: str | None = None
    mode: Literal["forward", "backward"] | None = None
    seed: int = 0

    @property
    def hash(self) -> str:
        """Short digest of every field that is set."""
        fields = json.dumps(self.model_dump(exclude_none=True), sort_keys=True)
        return hashlib.sha256(fields.encode()).hexdigest()[:12]

    @property
    def contender(self) -> str:
        """The backend, with its byte budget where that is not the default."""
        if self.byte_budget is None:
            return self.backend or ""
        budget = f"{self.byte_budget:,} bytes" if self.byte_budget else "whole"
        return f"{self.backend}, {budget}"

    @property
    def id(self) -> str:
        """Readable name, unique with the hash: the fields that are set, in order."""
        named = {
            "kind",
            "task",
            "dataset",
            "model",
            "backend",
            "baseline",
            "mode",
            "graph",
            "device",
        }
        parts = []
        for field, value in self.model_dump(exclude_none=True, exclude_defaults=True).items():
            parts.append(str(value) if field in named else f"{field}={value}")
        return "/".join(parts)


def expand(axes: Mapping[str, Sequence[Any] | Any]) -> list[Cell]:
    """The grid of cells over axes; a list is an axis, anything else is the same in all cells.

    The last axis varies fastest.

    Raises:
        ValueError: for a field that a cell does not have or a value it does not take.
    """
    names = list(axes)
    values = [
        axis if isinstance(axis, Sequence) and not isinstance(axis, str) else [axis]
        for axis in axes.values()
    ]
    return [Cell(**dict(zip(names, point, strict=True))) for point in product(*values)]
