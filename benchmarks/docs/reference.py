"""The API reference, made from the docstrings by pdoc."""

from __future__ import annotations

import warnings
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

import baselines
import benchmarks
import kgt

# Commands and benchmarks, which have no interface, and what runs when it is imported.
_LEFT_OUT = ("__main__", "conftest", "test_", "worker")


def write_reference(folder: Path) -> None:
    """Write HTML pages of all modules, beginning with `index.html`."""
    import pdoc

    modules = [name for package in (kgt, baselines, benchmarks) for name in _list_modules(package)]
    pdoc.render.configure(docformat="google")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of annotations that are imported for type checkers alone
        pdoc.pdoc(*modules, output_directory=folder)


def _list_modules(package: ModuleType) -> list[str]:
    """A package and its modules; names that it imports when they are used are imported here."""
    for name in getattr(package, "__all__", ()):
        setattr(package, name, getattr(package, name))
    found = walk_packages(package.__path__, f"{package.__name__}.")
    return [
        package.__name__,
        *(module.name for module in found if not module.name.split(".")[-1].startswith(_LEFT_OUT)),
    ]
