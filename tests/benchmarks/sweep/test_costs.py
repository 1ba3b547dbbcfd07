import csv
import json
from types import SimpleNamespace

import pytest

from benchmarks.records.environment import capture_environment
from benchmarks.records.result import Quantity
from benchmarks.sweep.costs import CoreTimes, render_costs
from benchmarks.sweep.jobs import Job
from benchmarks.training.recipes import load_recipe
from tests.benchmarks.making import make_cell, make_record

RECIPE = "sr-smoke:steps=300"


@pytest.fixture(scope="module")
def two_threads():
    return capture_environment().model_copy(update={"threads": 2})


def training(seed=1, model="kgt-tiny-x4", recipe=RECIPE):
    return make_cell("training", model=model, recipe=recipe, seed=seed)


def seconds(value):
    return Quantity(value=value, unit="s", statistic="once")


def test_a_cell_takes_what_its_like_took_by_any_seed(two_threads, tmp_path):
    cells = [make_cell("quality", seed=seed) for seed in (1, 2)]
    record = make_record(cells[0], environment=two_threads, wall=seconds(3.0))
    times = CoreTimes([record], tmp_path)
    assert times.estimate(Job("evaluate", tuple(cells))) == 2 * 3.0 * 2
    other = make_cell("quality", dataset="Set14")
    assert times.estimate(Job("evaluate", (cells[0], other))) is None
    assert times.estimate(Job("render")) == 0


def test_a_cell_that_failed_says_nothing(two_threads, tmp_path):
    cell = make_cell("quality")
    record = make_record(cell, "failed", environment=two_threads, wall=seconds(3.0))
    assert CoreTimes([record], tmp_path).estimate(Job("evaluate", (cell,))) is None


def test_a_training_takes_its_steps_times_what_one_took(two_threads, tmp_path):
    record = make_record(
        training(), environment=two_threads, training_time=seconds(60.0), steps=300
    )
    times = CoreTimes([record], tmp_path)
    longer = training(seed=9, recipe="sr-smoke:steps=1200")
    assert times.estimate(Job("train", (longer,))) == pytest.approx(1200 * 60 / 300 * 2)
    others = ("sr-smoke:batch=8", "sr-smoke:k=8")
    for other in (training(model="kgt-tiny-x2"), *(training(recipe=own) for own in others)):
        assert times.estimate(Job("train", (other,))) is None


def test_a_training_is_known_by_its_folder_even_if_it_goes_on(tmp_path):
    folder = tmp_path / "kgt-tiny-x4--sr-smoke--seed1"
    folder.mkdir()
    run = {
        "model": "kgt-tiny-x4",
        "recipe": load_recipe("sr-smoke").model_dump(mode="json"),
        "processes": 2,
        "environment": {"threads": 3},
    }
    (folder / "run.json").write_text(json.dumps(run))
    job = Job("train", (training(),))
    assert CoreTimes([], tmp_path).estimate(job) is None
    with (folder / "log.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["step", "seconds", "loss"])
        assert CoreTimes([], tmp_path).estimate(job) is None
        rows.writerows([[10, 4.0, 0.1], [20, 8.0, 0.1], [20, "", ""]])
    assert CoreTimes([], tmp_path).estimate(job) == pytest.approx(300 * 8 / 20 * 3 * 2)
    (folder / "run.json").write_text("{")
    assert CoreTimes([], tmp_path).estimate(job) is None


def test_what_was_never_measured_is_counted_in_steps_and_can_be(tmp_path):
    store = SimpleNamespace(records=[])
    run = SimpleNamespace(store=store, checkpoints=tmp_path)
    jobs = [Job("train", (training(seed),)) for seed in (1, 2)]
    *table, without, steps, command = render_costs([*jobs, Job("render")], run).splitlines()
    assert table[-1].split() == ["all", "3", "0.00"]
    assert without == "without 2 jobs whose like was never measured here"
    assert steps.startswith("among them 2 trainings of 600 steps;")
    assert command.endswith("--model 'kgt-tiny-x4' --recipe 'sr-smoke:steps=300:steps=20'")
    assert load_recipe(command.split("'")[3]).steps == 20
    assert "among them" not in render_costs([Job("evaluate", (make_cell("quality"),))], run)
