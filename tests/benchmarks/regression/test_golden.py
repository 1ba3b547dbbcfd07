"""Golden values: a behaviour that changes under an old version fails, and names its component."""

from dataclasses import replace
from functools import partial

import pytest

import kgt
from benchmarks.records.components import VERSIONS
from benchmarks.regression import exact, golden, values
from benchmarks.regression.exact import bless, judge_values, load_blessed
from benchmarks.regression.values import Value
from benchmarks.tasks import PROTOCOLS, TASKS, metrics
from benchmarks.tasks.denoising import add_noise
from benchmarks.training.recipes import Recipe
from kgt.attention.call import AttentionCall


def find_unraised(measured, blessed):
    """What is said of each component whose behaviour changed under an old version."""
    found = judge_values(measured, blessed)
    return {finding.unraised: finding.detail for finding in found if finding.unraised}


def test_every_golden_value_is_as_blessed_and_none_is_missing():
    measured, blessed = [*golden.measure_golden()], load_blessed()
    findings = [*judge_values(measured, blessed)][: len(measured)]
    assert [finding for finding in findings if finding.failed] == []
    known = {(kind, name) for kind, names in blessed.values.items() for name in names}
    own = {"version", "digest", "restored", "initial", "degradation", "score", "training", "method"}
    found = {(value.kind, value.name) for value in measured}
    assert {pair for pair in known if pair[0] in own} <= found


def test_every_component_has_a_golden_value():
    cheap = (golden._build, golden._score, golden._degrade, golden._tile, golden._measure)
    measured = [value for measure in cheap for value in measure()]
    shown = {value.shows[0] for value in measured if value.shows}
    elsewhere = {"attention-torch", "attention-native", "graph", "data", "training"}
    rules = {rule.name for task in TASKS.values() for rule in task.degradations.values()}
    assert shown | elsewhere >= {*VERSIONS, *PROTOCOLS, *rules}


def scale_the_bias(monkeypatch):
    describe = AttentionCall.describe

    def planted(q, k, v, graph, bias=None, **options):
        return describe(q, k, v, graph, None if bias is None else 1.001 * bias, **options)

    monkeypatch.setattr(AttentionCall, "describe", planted)
    monkeypatch.setattr(values, "_ATTENTION_BACKENDS", ("sdpa", "torch-gather"))


def move_the_mean(monkeypatch):
    monkeypatch.setattr("baselines.swinir.RGB_MEAN", (0.45, 0.4371, 0.4040))
    monkeypatch.setattr(values, "OUTPUTS", ("swinir-tiny-x4@32",))


def raise_the_noise(monkeypatch):
    task = TASKS["denoise-gray-s25"]
    rule = task.degradations["swinir"]
    planted = replace(rule, apply=partial(add_noise, sigma=25.2, rule="swinir"))
    made = {**task.degradations, "swinir": planted}
    monkeypatch.setitem(TASKS, task.name, replace(task, degradations=made))


def widen_the_window(monkeypatch):
    monkeypatch.setattr(metrics, "SSIM_SIGMA", 1.51)


def lower_the_rate(monkeypatch):
    rate = Recipe.learning_rate
    monkeypatch.setattr(Recipe, "learning_rate", lambda recipe, step: 0.99 * rate(recipe, step))


def keep_one_key_less(monkeypatch):
    build = kgt.build_key_graph
    monkeypatch.setattr(
        kgt, "build_key_graph", lambda tokens, k=8, **options: build(tokens, k - 1, **options)
    )


@pytest.mark.parametrize(
    ("plant", "measures", "components"),
    [
        (scale_the_bias, (values._measure_attention,), {"attention-torch"}),
        (move_the_mean, (values._compute_outputs, golden._tile), {"swinir"}),
        (raise_the_noise, (golden._degrade,), {"noise-swinir"}),
        (
            widen_the_window,
            (golden._score,),
            {name for name, rules in PROTOCOLS.items() if "ssim" in rules.text},
        ),
        (lower_the_rate, (golden._train, golden._tile), {"training"}),
        (keep_one_key_less, (golden._build, values._digest_graphs), {"graph", "attention-native"}),
    ],
)
def test_a_changed_constant_fails_and_names_its_component(plant, measures, components, monkeypatch):
    plant(monkeypatch)
    measured = [value for measure in measures for value in measure()]
    found = find_unraised(measured, load_blessed())
    assert set(found) == components
    for component, detail in found.items():
        assert f"raise the version of {component} in benchmarks." in detail
        assert detail.endswith(", then bless")


TILES = Value("method", "places", {"of 48": 3}, shows=("tiles", "kgt"))
KGT = Value("initial", "kgt", {"mean": 1.0}, shows=("kgt",))
OLD = [Value("version", "tiles", 1), Value("version", "kgt", 1), TILES, KGT]


@pytest.fixture
def blessed(tmp_path, monkeypatch):
    monkeypatch.setattr(exact, "BLESSED", tmp_path / "exact.json")
    bless(OLD, "first values")


def change(measured, value, content):
    return [replace(one, content=content) if one == value else one for one in measured]


def test_what_changed_under_an_old_version_cannot_be_blessed(blessed):
    changed = change(OLD, TILES, {"of 48": 4})
    message = "places: of 48 3 -> 4; raise the version of tiles in benchmarks.records.components"
    with pytest.raises(ValueError, match=message):
        bless(changed, "because")
    raised = change(changed, OLD[0], 2)
    assert find_unraised(raised, load_blessed()) == {}
    assert {f.name for f in judge_values(raised, load_blessed()) if f.failed} == {"tiles", "places"}
    bless(raised, "tiles are cut otherwise")
    assert [f for f in judge_values(raised, load_blessed()) if f.failed] == []


def test_what_changes_with_another_component_asks_for_no_version_of_its_own(blessed):
    changed = change(change(OLD, TILES, {"of 48": 4}), KGT, {"mean": 2.0})
    assert set(find_unraised(changed, load_blessed())) == {"kgt"}
    raised = change(changed, OLD[1], 2)
    assert find_unraised(raised, load_blessed()) == {}
    bless(raised, "another KGT")
