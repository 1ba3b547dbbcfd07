import pytest
import torch

import baselines
import kgt
from kgt.config import KGTConfig
from kgt.fields import convert


@pytest.mark.parametrize(
    ("value", "like", "converted"),
    [
        (3, 1, 3),
        (3, 1.0, 3.0),
        ([2, 2], (1,), (2, 2)),
        ([0, 1], (0.5,), (0.0, 1.0)),
        ("u", "columnar", "u"),
        (False, True, False),
    ],
)
def test_a_value_of_the_kind_of_another_is_taken(value, like, converted):
    found = convert("field", value, like)
    assert found == converted
    assert type(found) is type(like)


@pytest.mark.parametrize(
    ("value", "like"),
    [
        *((value, 1) for value in (2.5, True, "8", -1, 10**30, None, [1])),
        *((value, 1.0) for value in (float("nan"), float("inf"), "x", True, -0.5)),
        *((value, (1,)) for value in (4, "44", [2.5], [[1]], [10**30], [600, 600])),
        *((value, True) for value in (1, "true")),
        *((value, "word") for value in (1, None, ["u"])),
    ],
)
def test_a_value_of_another_kind_or_size_is_named(value, like):
    with pytest.raises(ValueError, match=r"^field = .* expected$"):
        convert("field", value, like)


@pytest.mark.parametrize("create", [kgt.create_model, baselines.create_model])
def test_a_network_that_no_memory_holds_is_refused_before_it_is_built(create):
    name = "kgt-tiny-x2" if create is kgt.create_model else "swinir-tiny-x2"
    with pytest.raises(ValueError, match=r"bytes with these fields, at most 2,147,483,648"):
        create(name, embed_dim=60_000, depths=(6,) * 6)


@pytest.mark.parametrize(
    ("field", "value"), [("embed_dim", 0), ("heads", 0), ("mlp_ratio", 0), ("k", True)]
)
def test_a_configuration_is_checked_however_it_is_made(field, value):
    with pytest.raises(ValueError, match=f"^{field} = "):
        KGTConfig(**{field: value})


def test_lists_serve_as_tuples_and_change_nothing():
    one, other = (kgt.create_model("kgt-tiny-x2", depths=kind((2, 2))) for kind in (list, tuple))
    assert one.config == other.config
    assert hash(one.config) == hash(other.config)
    assert torch.equal(one.mean, other.mean)


def test_what_a_network_of_others_makes_of_odd_fields_is_one_line():
    with pytest.raises(ValueError, match=r"^hat-x4 cannot be built with \{'window_size': 0\}: "):
        baselines.create_model("hat-x4", window_size=0)
