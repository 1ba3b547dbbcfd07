"""A cell: one experiment as frozen data. Its id and hash are derived, never typed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["latency", "memory", "cost", "restoration", "quality", "training"]


class Cell(BaseModel):
    """One experiment; a field that does not apply is None.

    Attributes:
        kind: what is measured.
        task, dataset, protocol: of a quality cell.
        model: network or method by its registry name, with fields as NAME:field=value; what is
            measured where it is set, attention alone where it is not.
        recipe: training recipe of a network that is trained here; of a printed row where it is
            printed, and which variant of its method it is.
        n, k: tokens per window and keys per token.
        backend: attention backend that is measured, or "dense" (every key, no graph).
        baseline: backend that a latency is relative to; of a network also a network.
        input: height x width in pixels of what a network is given, e.g. "540x960".
        window: side of a network's windows in pixels; None is its own.
        windows, heads, head_dim: the other axes of an attention problem.
        graph: "photo" (features of photographs) or "random" (uniform keys).
        byte_budget: bytes a chunked backend, or restoring in tiles, may hold; None is the default,
            0 without limit.
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
    input: str | None = None
    window: int | None = None
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
        """What is measured: a network with its k and backend, or a backend with its byte budget."""
        if self.model is not None:
            k = None if self.k is None else f"k = {self.k}"
            return ", ".join(filter(None, (self.model, k, self.backend)))
        if self.byte_budget is None:
            return self.backend or ""
        budget = f"{self.byte_budget:,} bytes" if self.byte_budget else "whole"
        return f"{self.backend}, {budget}"

    @property
    def network(self) -> str:
        """The network as NAME:field=value, with the axes that are fields of it."""
        axes = {"window": self.window, "k": self.k, "backend": self.backend}
        fields = (f"{name}={value}" for name, value in axes.items() if value is not None)
        return ":".join([str(self.model), *fields])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of `input`."""
        height, _, width = str(self.input).partition("x")
        return int(height), int(width)

    @property
    def pixels(self) -> int:
        """Number of pixels of `input`, 0 without one."""
        return math.prod(self.size) if self.input else 0

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
            "input",
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
