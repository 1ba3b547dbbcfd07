import hashlib
import json
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.records.cell import (
    AttentionCell,
    BenchmarkCell,
    NetworkCell,
    PrintedCell,
    QualityCell,
    RestorationCell,
    TrainingCell,
    expand,
    parse_cell,
)
from benchmarks.records.description import Description

ATTENTION = {
    "kind": "memory",
    "n": 64,
    "k": 8,
    "backend": "sdpa",
    "windows": 1,
    "heads": 2,
    "head_dim": 4,
    "graph": "photo",
    "dtype": "float32",
    "mode": "forward",
}
NETWORK = {"kind": "latency", "model": "net", "input": "8x16"}
QUALITY = {
    "kind": "quality",
    "task": "sr-x4",
    "dataset": "Set5",
    "model": "bicubic",
    "protocol": "rules@1",
}
CASES = {
    AttentionCell: ATTENTION,
    NetworkCell: NETWORK,
    RestorationCell: {"kind": "restoration", "model": "net", "input": "8x16", "byte_budget": 9},
    QualityCell: QUALITY,
    TrainingCell: {"kind": "training", "model": "net"},
    BenchmarkCell: {"kind": "latency", "task": "graph", "n": 64},
    PrintedCell: {
        "kind": "quality",
        "task": "sr-x4",
        "dataset": "Set5",
        "model": "KGT",
        "source": "as printed",
        "variant": "",
    },
}
OTHER = {"graph": "random", "mode": "backward", "bias": True, "device": "cuda"}


@pytest.mark.parametrize("cell_type", CASES)
def test_fields_give_the_type_of_their_kind(cell_type):
    cell = parse_cell(CASES[cell_type])
    assert type(cell) is cell_type
    assert parse_cell(json.loads(cell.model_dump_json(exclude_none=True))) == cell


@given(st.permutations(list(ATTENTION.items())))
@settings(max_examples=20, deadline=None)
def test_hash_does_not_depend_on_the_order_of_fields(items):
    shuffled, cell = parse_cell(dict(items)), parse_cell(ATTENTION)
    assert (shuffled, shuffled.hash, shuffled.id) == (cell, cell.hash, cell.id)


@pytest.mark.parametrize(
    ("cell_type", "field"),
    [(cell_type, field) for cell_type in CASES for field in cell_type.model_fields],
)
def test_hash_differs_in_every_field(cell_type, field):
    base = cell_type(**CASES[cell_type])
    kinds = typing.get_args(cell_type.model_fields["kind"].annotation)
    if field == "kind" and len(kinds) == 1:
        return
    takes_text = str in (annotation := cell_type.model_fields[field].annotation,) or (
        str in typing.get_args(annotation)
    )
    value = OTHER.get(field, "other" if takes_text else 7)
    if field == "kind":
        value = next(kind for kind in kinds if kind != base.kind)
    changed = cell_type(**{**CASES[cell_type], field: value})
    assert getattr(base, field) != value
    assert changed.hash != base.hash
    assert changed.id != base.id


def test_zero_is_not_the_same_as_unset():
    assert parse_cell({**ATTENTION, "byte_budget": 0}).hash != parse_cell(ATTENTION).hash


def test_hash_is_of_the_set_fields_in_sorted_order():
    text = json.dumps({**ATTENTION, "seed": 0}, sort_keys=True)
    assert parse_cell(ATTENTION).hash == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_id_is_readable():
    attention = "memory/n=64/k=8/sdpa/windows=1/heads=2/head_dim=4/photo/dtype=float32/forward"
    assert parse_cell(ATTENTION).id == attention
    quality = parse_cell({**QUALITY, "seed": 3})
    assert quality.id == "quality/sr-x4/Set5/bicubic/protocol=rules@1/seed=3"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({**ATTENTION, "tokens": 64}, "tokens"),
        ({"kind": "speed"}, "latency"),
        ({**ATTENTION, "graph": "grid"}, "photo"),
        ({**ATTENTION, "n": "many"}, "n\n"),
        ({**ATTENTION, "baseline": 7}, "baseline\n"),
        ({**QUALITY, "backend": "sdpa"}, "backend\n"),
        ({"kind": "quality", "model": "bicubic"}, "dataset\n"),
    ],
)
def test_what_a_cell_does_not_take_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        expand(fields)


def test_cells_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        parse_cell(ATTENTION).n = 128


def test_last_axis_varies_fastest():
    cells = expand({**ATTENTION, "n": [64, 128], "backend": ["sdpa", "dense"]})
    assert [(cell.n, cell.backend) for cell in cells] == [
        (64, "sdpa"),
        (64, "dense"),
        (128, "sdpa"),
        (128, "dense"),
    ]


def test_text_is_a_value_and_not_an_axis_of_letters():
    assert [cell.backend for cell in expand(ATTENTION)] == ["sdpa"]


def test_none_unsets_an_axis():
    assert expand({**NETWORK, "baseline": None}) == expand(NETWORK)


def test_sizes_and_pixels_of_an_input():
    for cell_type in (NetworkCell, RestorationCell):
        cell = cell_type(**CASES[cell_type])
        assert (cell.size, cell.pixels) == ((8, 16), 128)


def test_a_printed_cell_says_where_it_is_printed_and_which_variant_it_is():
    cell = PrintedCell(**{**CASES[PrintedCell], "variant": "one model"})
    assert (cell.recipe, cell.protocol) == ("as printed, one model", "as printed")


def test_a_wrapped_network_is_of_its_own_family():
    wrapped = Description.parse("deconvolved-kgt-tiny-deblur:k=8")
    assert (wrapped.network, wrapped.family, wrapped.size) == ("kgt-tiny-deblur", "kgt", "tiny")
    assert str(wrapped.of_family("swinir")) == "deconvolved-swinir-tiny-deblur:k=8"


def test_a_description_is_a_name_and_fields():
    text = "kgt-tiny-x4:depths=[1,5]:backend=sdpa"
    description = Description.parse(text)
    assert description.name == "kgt-tiny-x4"
    assert description.fields == {"depths": [1, 5], "backend": "sdpa"}
    assert (description.family, description.size) == ("kgt", "tiny")
    assert str(description) == text
    assert str(description.rebuilt_graphs()) == f"{text}:graph_scope=layer"
    assert description.rebuilt_graphs().rebuilds_graphs
    assert description.rebuilt_graphs().shared_graphs() == description
    assert description.of_family("swinir").name == "swinir-tiny-x4"
    assert Description.parse("spandrel:x.pth").name == "x.pth"
    assert Description.parse("bicubic").size == ""
    with pytest.raises(ValueError, match="NAME:field=value is expected, got 'k'"):
        Description.parse("kgt-tiny-x4:k")
