"""Strategies that change what is right: bytes of files, and values of nested containers."""

import copy
import json
from pathlib import Path

from hypothesis import strategies as st

ODD_INTEGERS = (0, 1, -1, 2, 7, 255, 65535, 2**31 - 1, 2**32, 2**63, -(2**63), 10**30)
ODD_TEXTS = (
    *("", " ", "x", "null", "nan", "1e999", "\x00", "\ud7ff", "é", "a|b", "line\nline"),
    *("=cmd()", "<script>", "../../x", "/dev/null", "%s", "{0}", "[red]", "x" * 5000),
)
_PATTERNS = (b"\0", b"\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80", b"\n")


def kept(name):
    """Inputs of a target that failed once, or that others are made of."""
    folder = Path(__file__).parent / "inputs" / name
    return [path.read_bytes() for path in sorted(folder.glob("*"))]


@st.composite
def changed_bytes(draw, seeds, most=6):
    """One of the seeds, with a few changes at odd places."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, most))):
        # Headers matter more than pixels, so half of the changes are near the beginning.
        last = draw(st.sampled_from([32, 256, len(data)]))
        at = draw(st.integers(0, max(0, min(last, len(data)) - 1)))
        how = draw(st.sampled_from(["bit", "write", "cut", "drop", "repeat", "join"]))
        if how == "bit" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "write":
            part = draw(st.sampled_from(_PATTERNS) | st.binary(min_size=1, max_size=8))
            data[at : at + len(part)] = part
        elif how == "cut":
            del data[at:]
        elif how == "drop":
            del data[at : at + draw(st.integers(1, 64))]
        elif how == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 64))]
        elif how == "join":
            other = draw(st.sampled_from(seeds))
            data[at:] = other[at:]
    return bytes(data)


ODD_VALUES = (
    st.sampled_from([None, True, False, [], {}, [[]], {"x": {}}, 0.5, -0.0, 1e308])
    | st.sampled_from([float("nan"), float("inf"), float("-inf")])
    | st.sampled_from(ODD_INTEGERS)
    | st.sampled_from(ODD_TEXTS)
    | st.text(max_size=8)
    | st.lists(st.integers() | st.floats() | st.text(max_size=3), max_size=4)
    | st.integers(1, 400).map(lambda depth: _nest([], depth))
)


def _nest(value, depth):
    for _ in range(depth):
        value = [value]
    return value


def _places(value, found):
    """Every (container, key) below a value."""
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(min(len(value), 8))
    else:
        return found
    for key in keys:
        found.append((value, key))
        _places(value[key], found)
    return found


@st.composite
def changed_values(draw, seeds, most=4, odd=ODD_VALUES):
    """One of the nested containers, with a few values replaced, lost, doubled or renamed."""
    root = [copy.deepcopy(draw(st.sampled_from(seeds)))]
    for _ in range(draw(st.integers(0, most))):
        container, key = draw(st.sampled_from(_places(root, [])))
        how = draw(st.sampled_from(["replace", "replace", "replace", "drop", "rename", "wrap"]))
        if how == "replace":
            container[key] = draw(odd)
        elif how == "wrap":
            wrap = draw(st.sampled_from([lambda v: [v], lambda v: {"x": v}, str]))
            container[key] = wrap(container[key])
        elif isinstance(container, dict) and how == "drop":
            del container[key]
        elif isinstance(container, dict):
            container[draw(st.sampled_from([*container, *ODD_TEXTS]))] = container.pop(key)
        elif container is not root:
            container.insert(key, container[key])
    return root[0]


def as_json(strategy):
    """Values as bytes of JSON, also of what JSON itself has no words for."""
    return strategy.map(lambda value: json.dumps(value, default=str).encode())
