"""Cells: one experiment each as frozen data. Its id and hash are derived, never typed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, TypeAdapter

from benchmarks.records.description import Description

CellKind = Literal["latency", "memory", "cost", "restoration", "quality", "training"]
Mode = Literal["forward", "backward"]
Graph = Literal["photo", "random"]

# Fields whose value alone names them in an id.
_NAMED = frozenset(
    ("kind", "task", "dataset", "model", "backend", "baseline", "input", "mode", "graph", "device")
)


class BaseCell(BaseModel):
    """What all cells have; a field that is None is not set, and in neither id nor hash.

    The fields of all types of cells, which mean the same wherever they stand:

    Attributes:
        kind: what is measured.
        task, dataset: degradation and set; of times, what the inputs are like.
        model: network or method by its registry name, with fields as NAME:field=value.
        recipe: training recipe of a network that is trained here; None is the weights that ship.
        protocol: NAME@version of the rules of scoring.
        n, k: tokens per window and keys per token; a k of None is the network's own.
        backend: attention backend, "auto", or "dense" (every key, no graph).
        baseline: backend or network that a latency is relative to; None is what is measured.
        input: height x width in pixels of what a network is given, e.g. "540x960".
        window: side of a network's windows in pixels.
        windows, heads, head_dim: the other axes of attention.
        graph: "photo" (features of photographs) or "random" (uniform keys).
        byte_budget: bytes that a chunked backend, or restoring in tiles, may hold; None is the
            backend's default, 0 without limit.
        bias: whether a position-bias table is added to the scores.
        layers: layers that share what a backend derives from the graph; None is 6.
        device: "cuda" for a GPU; None is the CPU.
        threads: torch's intra-op threads; None is the environment's number.
        dtype: element type; None is float32.
        mode: "forward", which None is, or "backward" (forward and backward, a training step).
        seed: seed of the inputs, the weights or the training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    kind: CellKind

    @property
    def hash(self) -> str:
        """Short digest of every field that is set."""
        fields = json.dumps(self.model_dump(exclude_none=True), sort_keys=True)
        return hashlib.sha256(fields.encode()).hexdigest()[:12]

    @property
    def id(self) -> str:
        """Readable name, unique with the hash: the fields that are set, in order."""
        fields = self.model_dump(exclude_none=True, exclude_defaults=True)
        return "/".join(
            str(value) if field in _NAMED else f"{field}={value}" for field, value in fields.items()
        )


class AttentionCell(BaseCell):
    """Time or memory of attention alone."""

    kind: Literal["latency", "memory"]
    n: int
    k: int
    backend: str
    baseline: str | None = None
    windows: int
    heads: int
    head_dim: int
    graph: Graph
    byte_budget: int | None = None
    bias: bool | None = None
    layers: int | None = None
    device: Literal["cuda"] | None = None
    threads: int | None = None
    dtype: str
    mode: Mode
    seed: int = 0

    @property
    def contender(self) -> str:
        """The backend with its byte budget."""
        if self.byte_budget is None:
            return self.backend
        budget = f"{self.byte_budget:,} bytes" if self.byte_budget else "whole"
        return f"{self.backend}, {budget}"


class NetworkCell(BaseCell):
    """Time, memory or cost of a whole network on a photograph."""

    kind: Literal["latency", "memory", "cost"]
    task: str | None = None
    model: str
    recipe: str | None = None
    k: int | None = None
    backend: str | None = None
    baseline: str | None = None
    input: str
    window: int | None = None
    device: Literal["cuda"] | None = None
    threads: int | None = None
    dtype: str | None = None
    mode: Mode | None = None
    seed: int = 0

    @property
    def contender(self) -> str:
        """The network with its k and backend."""
        k = None if self.k is None else f"k = {self.k}"
        return ", ".join(filter(None, (self.model, k, self.backend)))

    @property
    def network(self) -> str:
        """The network as NAME:field=value, with the axes that are fields of it."""
        axes = {"window": self.window, "k": self.k, "backend": self.backend}
        fields = (f"{name}={value}" for name, value in axes.items() if value is not None)
        return ":".join([self.model, *fields])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of `input`."""
        return _parse_size(self.input)

    @property
    def pixels(self) -> int:
        """Number of pixels of `input`."""
        return math.prod(self.size)


class RestorationCell(BaseCell):
    """Restoring a large photograph in tiles and whole."""

    kind: Literal["restoration"]
    model: str
    input: str
    byte_budget: int
    seed: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of `input`."""
        return _parse_size(self.input)

    @property
    def pixels(self) -> int:
        """Number of pixels of `input`."""
        return math.prod(self.size)


class QualityCell(BaseCell):
    """How well a network or method restores a set."""

    kind: Literal["quality"]
    task: str
    dataset: str
    model: str
    recipe: str | None = None
    protocol: str
    k: int | None = None
    seed: int = 0

    @property
    def described(self) -> Description:
        """The model's name and fields."""
        return Description.parse(self.model)

    @property
    def rules(self) -> str:
        """Name of the protocol, without its version."""
        return self.protocol.partition("@")[0]


class TrainingCell(BaseCell):
    """What a training took, of a recipe or, without one, of the weights that ship."""

    kind: Literal["training"]
    task: str | None = None
    model: str
    recipe: str | None = None
    seed: int = 0


class BenchmarkCell(BaseCell):
    """A function or network that pytest-benchmark times, on inputs that its test makes."""

    kind: Literal["latency"]
    task: str
    dataset: str | None = None
    model: str | None = None
    protocol: str | None = None
    n: int | None = None
    k: int | None = None
    windows: int | None = None
    graph: Graph | None = None
    dtype: str | None = None
    mode: Mode | None = None
    seed: int = 0


class PrintedCell(BaseCell):
    """A number of others: of kind "quality" on a set, or "training" of a method as a whole.

    Attributes:
        model: the printed name of the method, or of two that a text compares.
        source: where it is from, "as printed by GRL" or "as scored by the authors' code".
        variant: which variant of the method it is, empty where only one is printed.
    """

    kind: Literal["quality", "training"]
    task: str | None
    dataset: str | None
    model: str
    source: str
    variant: str

    @property
    def origin(self) -> str:
        """Whether a paper says it, or the authors' code does."""
        return "paper" if self.source.startswith("as printed") else "authors' code"

    @property
    def recipe(self) -> str:
        """What stands in the place of a recipe: source and variant."""
        return ", ".join(filter(None, (self.source, self.variant)))

    @property
    def protocol(self) -> str:
        """What stands in the place of a protocol: the source."""
        return self.source


def _parse_size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width)


def _tag(fields: Any) -> str | None:
    """Which type of cell it is, or that a mapping describes; None for what is neither."""
    if isinstance(fields, BaseCell):
        return type(fields).__name__
    if not isinstance(fields, Mapping):
        return None
    kind = fields.get("kind")
    if "source" in fields:
        return "PrintedCell"
    if kind == "latency" and "task" in fields and "input" not in fields:
        return "BenchmarkCell"
    if kind in ("latency", "memory"):
        return "NetworkCell" if "model" in fields else "AttentionCell"
    named = {
        "cost": "NetworkCell",
        "restoration": "RestorationCell",
        "quality": "QualityCell",
        "training": "TrainingCell",
    }
    return named.get(str(kind))


Cell = Annotated[
    Annotated[AttentionCell, Tag("AttentionCell")]
    | Annotated[NetworkCell, Tag("NetworkCell")]
    | Annotated[RestorationCell, Tag("RestorationCell")]
    | Annotated[QualityCell, Tag("QualityCell")]
    | Annotated[TrainingCell, Tag("TrainingCell")]
    | Annotated[BenchmarkCell, Tag("BenchmarkCell")]
    | Annotated[PrintedCell, Tag("PrintedCell")],
    Discriminator(
        _tag,
        custom_error_type="cell_kind",
        custom_error_message="a cell is an object whose kind is latency, memory, cost, "
        "restoration, quality or training",
    ),
]
_ADAPTER: TypeAdapter[Cell] = TypeAdapter(Cell)


def parse_cell(fields: Mapping[str, Any]) -> Cell:
    """The cell that fields describe, of the type of its kind.

    Raises:
        ValueError: for a field that is missing or that such a cell does not have, or a value that
            it does not take.
    """
    return _ADAPTER.validate_python(fields)


def list_points(axes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of a grid; a list is an axis, of which the last varies fastest."""
    values = [
        axis if isinstance(axis, Sequence) and not isinstance(axis, str) else [axis]
        for axis in axes.values()
    ]
    return [dict(zip(axes, point, strict=True)) for point in product(*values)]


def expand(axes: Mapping[str, Any]) -> list[Cell]:
    """The grid of cells over axes, as `list_points` has it; None unsets a field.

    Raises:
        ValueError: as `parse_cell`.
    """
    given = {name: axis for name, axis in axes.items() if axis is not None}
    return [parse_cell(point) for point in list_points(given)]
