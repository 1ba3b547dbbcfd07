"""Names of a package that are imported with their modules, when they are first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def find_in(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package.

    Args:
        package: its name.
        homes: the module of each name that it exports, relative to the package. Type checkers need
            the same imports, under `TYPE_CHECKING`.
    """

    def find(name: str) -> object:
        if name in homes:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
