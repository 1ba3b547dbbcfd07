"""The claims that specifications name; each module here registers the judges it defines."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from benchmarks.report.judgment import JUDGES, Judgment
from benchmarks.report.series import Records

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")


def judge_claims(names: tuple[str, ...], records: Records) -> list[Judgment]:
    """Judge the named claims in order.

    Raises:
        KeyError: for a claim that has no judge.
    """
    return [judgment for name in names for judgment in JUDGES[name](records)]
