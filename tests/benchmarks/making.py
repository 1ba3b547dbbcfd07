"""Cells and records of which a test gives only what it is about."""

from benchmarks.records.cell import (
    AttentionCell,
    NetworkCell,
    QualityCell,
    RestorationCell,
    TrainingCell,
)
from benchmarks.records.record import Record
from benchmarks.records.result import RESULTS, Missing, Quantity

_ATTENTION = {
    "n": 64,
    "k": 8,
    "backend": "native",
    "windows": 1,
    "heads": 1,
    "head_dim": 1,
    "graph": "photo",
    "dtype": "float32",
    "mode": "forward",
}
_VALUES = {
    "Quantity": Quantity(value=1.0),
    "str": "",
    "int": 8,
    "float": 0.0,
    "bool": False,
    "VerdictLabel": "UNCLEAR",
    "dict[str, int]": {},
    "dict[str, Quantity]": {},
}


def make_cell(kind, **fields):
    """A cell of a kind; one of time or memory is of attention where no model is given."""
    if kind in ("latency", "memory") and "model" not in fields:
        return AttentionCell(kind=kind, **{**_ATTENTION, **fields})
    if kind in ("latency", "memory", "cost"):
        return NetworkCell(kind=kind, **{"input": "64x64", **fields})
    if kind == "restoration":
        return RestorationCell(kind=kind, **{"byte_budget": 2**31, **fields})
    if kind == "training":
        return TrainingCell(kind=kind, **fields)
    default = {"task": "sr-x4", "dataset": "Set5", "model": "net", "protocol": "rules@1"}
    return QualityCell(kind=kind, **{**default, **fields})


def make_result(cell, **fields):
    """A result of the type of a cell's kind."""
    form = RESULTS[type(cell), cell.kind]
    names = form.model_fields
    if "scores" in names:
        scores = {name: fields.pop(name) for name in [*fields] if name not in names}
        fields = {"scores": scores, **fields}
    required = {
        name: _VALUES[_annotation(form, name)]
        for name, field in names.items()
        if field.is_required()
    }
    return form(**{**required, **fields})


def make_record(cell, status="ok", reason="", environment=None, **fields):
    """A record of a cell with fields of its result, or of why it has none."""
    if status == "ok":
        result = make_result(cell, **fields)
    else:
        result = Missing(status=status, reason=reason, **fields)
    return Record(cell=cell, result=result, environment=environment)


def _annotation(form, name):
    return next(
        c.__annotations__[name] for c in form.__mro__ if name in vars(c).get("__annotations__", {})
    )
