"""The claims that specifications name; each module here registers the judges it defines."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from benchmarks.plan.specs import TableSpec
from benchmarks.report.judgment import ANSWERS, JUDGES, Judgment
from benchmarks.report.series import Records
from kgt.errors import unknown

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def judge_claims(names: tuple[str, ...], records: Records) -> list[Judgment]:
    """Judge the named claims in order.

    Raises:
        ValueError: for a claim that has no judge, listing those that have one.
    """
    for name in names:
        if name not in JUDGES:
            raise unknown("claim", name, JUDGES)
    return [judgment for name in names for judgment in JUDGES[name](records)]


def answer_study(spec: TableSpec, records: Records) -> str:
    """What a study found, in a sentence or two; empty of tables, and where nothing sums it up."""
    answer = ANSWERS.get(spec.name) if spec.kind == "study" else None
    return answer(records) if answer else ""
