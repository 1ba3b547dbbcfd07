import hashlib
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.records.cell import Cell, expand

BASE = {"kind": "memory", "n": 64, "k": 8, "backend": "sdpa"}
OTHER = {
    "kind": "latency",
    "graph": "random",
    "mode": "backward",
    "bias": True,
    "device": "cuda",
}


@given(st.permutations(list(BASE.items())))
@settings(max_examples=20, deadline=None)
def test_hash_does_not_depend_on_the_order_of_fields(items):
    shuffled = Cell(**dict(items))
    assert shuffled == Cell(**BASE)
    assert shuffled.hash == Cell(**BASE).hash
    assert shuffled.id == Cell(**BASE).id


@pytest.mark.parametrize("field", Cell.model_fields)
def test_hash_differs_in_every_field(field):
    takes_text = str in typing.get_args(typing.get_type_hints(Cell)[field])
    value = OTHER.get(field, "other" if takes_text else 7)
    base = Cell(**BASE)
    changed = Cell(**{**BASE, field: value})
    assert getattr(base, field) != value
    assert changed.hash != base.hash
    assert field == "seed" or changed.id != base.id


def test_zero_is_not_the_same_as_unset():
    assert Cell(**BASE, byte_budget=0).hash != Cell(**BASE).hash


def test_hash_is_of_the_set_fields_in_sorted_order():
    text = '{"backend": "sdpa", "k": 8, "kind": "memory", "n": 64, "seed": 0}'
    assert Cell(**BASE).hash == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_id_is_readable():
    assert Cell(**BASE).id == "memory/n=64/k=8/sdpa"
    quality = Cell(kind="quality", task="sr-x4", dataset="Set5", model="bicubic", seed=3)
    assert quality.id == "quality/sr-x4/Set5/bicubic/seed=3"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "memory", "tokens": 64}, "tokens"),
        ({"kind": "speed"}, "latency"),
        ({"kind": "memory", "graph": "grid"}, "photo"),
        ({"kind": "memory", "n": "many"}, "n\n"),
    ],
)
def test_what_a_cell_does_not_take_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        expand(fields)


def test_cells_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Cell(**BASE).n = 128


def test_last_axis_varies_fastest():
    cells = expand({"kind": "memory", "n": [64, 128], "backend": ["sdpa", "dense"], "k": 8})
    assert [(cell.n, cell.backend, cell.k) for cell in cells] == [
        (64, "sdpa", 8),
        (64, "dense", 8),
        (128, "sdpa", 8),
        (128, "dense", 8),
    ]


def test_text_is_a_value_and_not_an_axis_of_letters():
    assert [cell.backend for cell in expand({"kind": "memory", "backend": "sdpa"})] == ["sdpa"]
