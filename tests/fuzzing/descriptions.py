"""Descriptions of models, NAME:field=value: each is built, or refused in words."""

from hypothesis import strategies as st

import baselines
from baselines.registry import model_fields
from benchmarks.models import components_of, create_described, list_any_models
from benchmarks.records.description import Description
from kgt.config import KGTConfig
from tests.fuzzing.mutation import ODD_INTEGERS, ODD_TEXTS, kept

SUFFIX = ".txt"
_FIELDS = {*KGTConfig.__dataclass_fields__} | {
    field for name in baselines.list_models() for field in model_fields(name)
}
_VALUES = st.one_of(
    st.sampled_from([str(number) for number in ODD_INTEGERS]),
    st.sampled_from(ODD_TEXTS),
    st.sampled_from(["[", "(1,", "true", "null", "2.5", "1e5", "[4,4]", "(2,2,2,2)", "{}", "'u'"]),
    st.sampled_from(["columnar", "u", "auto", "reference", "layer", "cosine", "inf", "-inf"]),
    st.sampled_from(["(" * 300, "[" * 3000 + "]" * 3000, "9" * 5000, "1" + "+1" * 3000]),
    st.integers(-3, 70).map(str),
    st.lists(st.integers(-1, 9), max_size=4).map(str),
    st.text(max_size=5),
)  # fmt: skip
_NAMES = st.sampled_from([name for name in list_any_models() if "-tiny" in name or "kgt-s" in name])
_NAMES |= st.sampled_from(list_any_models()) | st.text(max_size=8)

INPUTS = st.builds(
    lambda name, fields: ":".join([name, *fields]).encode("utf-8", "surrogatepass"),
    _NAMES,
    st.lists(
        st.builds("{}={}".format, st.sampled_from(sorted(_FIELDS)), _VALUES) | st.text(max_size=5),
        max_size=3,
    ),
)
if kept("descriptions"):
    INPUTS |= st.sampled_from(kept("descriptions"))


def attempt(data, folder):
    text = data.decode("utf-8", "surrogatepass")
    description = Description.parse(text)
    assert Description.parse(str(description)) == description
    components_of(text)
    create_described(text)
    create_described(text, {"scale": 1, "sigma": 25.0})
