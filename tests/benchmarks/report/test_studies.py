"""The studies of the key-graph: what they plan, and the plots that are theirs alone."""

import pytest

from benchmarks.data.manifest import MANIFEST
from benchmarks.plan.specs import get_spec
from benchmarks.records.result import Quantity
from benchmarks.report.plots import draw_plot, sharing
from benchmarks.report.plots.k import draw as draw_k
from benchmarks.report.summary import STUDIES
from benchmarks.training.recipes import load_recipe
from tests.benchmarks.making import make_record


def list_cells(study, *kinds):
    cells = get_spec(study, kind="study").profiles["cpu"].cells()
    return [cell for cell in cells if cell.kind in kinds]


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_three_seeds_and_three_sets_that_can_be_judged(study):
    cells = list_cells(study, "quality")
    arms = {}
    for cell in cells:
        arm = cell.task, cell.model, cell.recipe, cell.k
        seeds, sets = arms.setdefault(arm, (set(), set()))
        seeds.add(cell.seed)
        sets.add(cell.dataset)
    for seeds, sets in arms.values():
        # From the first on, so that none is chosen.
        assert len(seeds) >= 3
        assert seeds == set(range(1, len(seeds) + 1))
        assert len(sets) >= 3
    assert min(MANIFEST[cell.dataset]["test"].count for cell in cells) >= 18
    assert "small-scale" in get_spec(study, kind="study").title
    for recipe in {cell.recipe for cell in cells}:
        assert load_recipe(recipe).datasets in (("BSDS500",), ("twins",))
        assert load_recipe(recipe).held_out >= 10


def test_rates_are_tried_for_what_the_studies_train():
    tried = {}
    cells = get_spec("rates", kind="study").profiles["cpu"].cells()
    for cell in (cell for cell in cells if cell.recipe):
        recipe = load_recipe(cell.recipe)
        tried.setdefault((cell.model, recipe.tasks), set()).add(recipe.lr)
    assert {len(rates) for rates in tried.values()} <= {3, 4}
    for study in ("window", "sharing", "distance"):
        for cell in list_cells(study, "quality"):
            tasks = load_recipe(cell.recipe).tasks
            own = [rates for (_, named), rates in tried.items() if named == tasks]
            assert all(load_recipe(cell.recipe).lr in rates for rates in own)


def test_the_study_of_k_has_a_panel_per_level_and_set_and_a_line_per_training():
    cells = list_cells("k", "quality")
    scored = {}
    for cell in cells:
        psnr = Quantity(value=30.0 + (cell.k or 0) / 1024 + 0.01 * cell.seed)
        scored[cell] = make_record(cell, psnr=psnr, per_image={}, trained="r@1")
    figure = draw_k(scored)
    shown = [axis for axis in figure.axes if axis.axison]
    assert len(shown) == 6 * 3
    (first, *_) = [line for line in shown[0].lines if line.get_marker() == "o"]
    assert list(first.get_xdata()) == [64, 128, 256, 512, 1024]
    assert first.get_ydata() == pytest.approx([30.02 + k / 1024 for k in (64, 128, 256, 512, 1024)])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [
        f"study-k-denoise:k={k}" for k in (64, 128, 512, 1024, "[64,128,192,256,384,512]")
    ]
    trained = {(cell.model, cell.recipe) for cell in cells}
    networks = {model.partition("-tiny-")[2].partition(":")[0] for model, _ in trained}
    assert networks == {"denoise-color", "jpeg-color", "demosaic", "deblur", "weather", "x4"}
    assert {cell.seed for cell in cells} == {1, 2, 3}


def test_levels_of_the_study_of_k_are_seen_and_unseen():
    seen = set(load_recipe("study-k-denoise").tasks)
    used = {cell.task for cell in list_cells("k", "quality") if "denoise" in cell.task}
    assert seen == {f"denoise-color-s{sigma}" for sigma in (15, 25, 50)}
    assert used - seen == {f"denoise-color-s{sigma}" for sigma in (10, 35, 75)}
    assert load_recipe("study-k-denoise").patch >= 128


def test_the_plot_of_sharing_has_a_line_by_depth_per_network():
    records = {}
    for cell in list_cells("sharing", "quality", "training"):
        fields = {
            "quality": {"psnr": Quantity(value=30.0), "per_image": {}, "trained": "r@1"},
            "training": {"overlap": Quantity(value=0.6, samples=(1.0, 0.7, 0.1 * cell.seed))},
        }
        if cell.kind == "quality":
            fields["quality"]["per_image"] = {str(n): {"psnr": 30.0 + n} for n in range(20)}
        records[cell] = make_record(cell, **fields[cell.kind])
    figure = sharing.draw(records)
    top = figure.subfigs[0].axes
    assert [axis.get_title() for axis in top] == ["denoise-color-s25", "sr-x4"]
    for axis in top:
        lines = [line for line in axis.lines if line.get_marker() == "o"]
        assert [list(line.get_xdata()) for line in lines] == [[1, 2, 3]] * 2
        assert lines[0].get_ydata() == pytest.approx([1.0, 0.7, 0.2])
    assert "nothing measured" in draw_plot("sharing", "t", {})
