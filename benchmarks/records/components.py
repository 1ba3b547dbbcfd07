"""What results depend on, each with a version: results die with a version, never with a byte.

Raise a component's version when its behaviour changes. `python -m benchmarks.regress exact` holds
golden values of the components and fails where one changes under an old version. Degradations and
protocols carry versions of their own, beside their definitions (`benchmarks.tasks`).
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

KERNELS = Path(__file__).parents[2] / "kgt" / "attention"

VERSIONS = {
    "attention-torch": 1,  # attention by torch's operators: output, chunks, memory; bias
    "attention-native": 1,  # attention and graphs by the C++ kernels: output, plan, memory
    "attention-triton": 1,  # attention by the Triton kernels: output, tiles, memory
    "graph": 1,  # which keys a token keeps
    "kgt": 1,  # the KGT networks around graph and attention, their presets and initial weights
    "swinir": 1,  # the SwinIR networks, their presets and initial weights
    "baselines": 1,  # classical methods and published networks
    "tiles": 1,  # how an image is cut into tiles and put together again
    "data": 1,  # which images a data set has, and their pixels
    "training": 1,  # which patches are drawn, the losses, the schedule, the optimizer's steps
    "timing": 1,  # inputs of a timing, rounds, stopping rule
    "memory": 1,  # what counts as the peak of a phase
    "cost": 1,  # which FLOPs are counted, and under which part of a network
}


def versions_of(*components: str) -> dict[str, int]:
    """Components and their versions."""
    return {name: VERSIONS[name] for name in sorted(components)}


def describe_versions(versions: Mapping[str, int]) -> str:
    """Versions in words, as in "data@1 kgt@2"."""
    return " ".join(f"{name}@{version}" for name, version in sorted(versions.items()))


def digest_versions(versions: Mapping[str, int], *own: str) -> str:
    """Short hash of versions and of what else a result depends on.

    Version 1 leaves no trace, so that old results outlive the first version of a new component.
    """
    raised = {name: version for name, version in versions.items() if version > 1}
    return _digest(describe_versions(raised), *own)


@cache
def digest_kernels(folder: str) -> str:
    """Short hash of the kernels in "native" or "triton", as far as a compiler sees them.

    These are C++ sources and the Python modules with functions that Triton compiles, without
    comments, docstrings and layout: a kernel's speed may change where its behaviour does not.
    """
    sources = []
    for path in sorted((KERNELS / folder).iterdir()):
        if path.suffix in (".cpp", ".h"):
            sources.append(_strip_cpp(path.read_text()))
        elif path.suffix == ".py" and "@triton.jit" in path.read_text():
            sources.append(_strip_python(path.read_text()))
    return _digest(*sources)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _strip_cpp(source: str) -> str:
    strings = r'"(?:\\.|[^"\\])*"' + r"|'(?:\\.|[^'\\])'"
    tokens = re.findall(rf"{strings}|//[^\n]*|/\*.*?\*/|\w+|\S", source, re.DOTALL)
    return " ".join(token for token in tokens if not token.startswith(("//", "/*")))


def _strip_python(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
    return ast.unparse(tree)
