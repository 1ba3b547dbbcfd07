import pytest

from benchmarks.plan.specs import load_specs
from benchmarks.sweep.jobs import choose_pending, plan_jobs
from tests.benchmarks.making import make_cell

TIMED = [
    make_cell("latency"),
    make_cell("memory", model="kgt-tiny-x4"),
    make_cell("cost", model="kgt-tiny-x4"),
    make_cell("restoration", model="kgt-tiny-x4", input="64x64"),
]
SHIPPED = [
    make_cell("quality", model="kgt-tiny-x4"),
    make_cell("quality", model="kgt-tiny-x4", dataset="Set14"),
    make_cell("training", model="kgt-tiny-x4"),
    make_cell("quality", model="bicubic"),
]


def trained(kind="quality", seed=1, **fields):
    return make_cell(kind, model="kgt-tiny-x4", recipe="sr-smoke", seed=seed, **fields)


def split(jobs):
    """Cells and needed jobs by name."""
    named = {job.name: job for job in jobs}
    return [(job.kind, [*job.cells], [named[name] for name in job.needs]) for job in jobs]


def test_what_depends_on_the_machine_is_one_job():
    (time, render) = plan_jobs(TIMED)
    assert (time.kind, [*time.cells], time.needs) == ("time", TIMED, ())
    assert (render.kind, render.cells, render.needs) == ("render", (), (time.name,))


def test_a_network_that_ships_is_scored_by_one_job():
    first, second, render = split(plan_jobs(SHIPPED))
    assert first == ("evaluate", SHIPPED[:3], [])
    assert second == ("evaluate", SHIPPED[3:], [])
    assert [job.kind for job in render[2]] == ["evaluate", "evaluate"]


def test_scores_of_one_training_are_one_job_that_needs_it():
    cells = [trained(seed=2), trained(), trained(k=8), trained(dataset="Set14")]
    found = split(plan_jobs(cells))
    assert [kind for kind, *_ in found] == ["train", "train", "evaluate", "evaluate", "render"]
    assert [job[1] for job in found[:2]] == [
        [trained("training", seed=2)],
        [trained("training")],
    ]
    assert [job[1] for job in found[2:4]] == [cells[:1], cells[1:]]
    assert [[*need.cells] for _, _, needs in found[2:4] for need in needs] == [
        [trained("training", seed=2)],
        [trained("training")],
    ]


def test_a_training_that_is_planned_is_not_planned_twice():
    planned = trained("training", task="sr-x4")
    train, evaluate, _ = plan_jobs([trained(), planned])
    assert train.cells == (planned,)
    assert evaluate.needs == (train.name,)


@pytest.mark.parametrize("spec", load_specs("study").values(), ids=lambda spec: spec.name)
def test_every_cell_of_a_study_has_one_job_and_timings_come_first(spec):
    for profile in spec.profiles.values():
        cells = profile.cells()
        jobs = plan_jobs(cells)
        planned = [cell for job in jobs for cell in job.cells]
        assert len(planned) == len(set(planned))
        assert set(cells) <= set(planned)
        assert {cell.kind for cell in set(planned) - set(cells)} <= {"training"}
        assert len({job.name for job in jobs}) == len(jobs)
        assert all(job.kind != "time" for job in jobs[1:])
        known = set()
        for job in jobs:
            assert set(job.needs) <= known
            known.add(job.name)


def test_a_name_depends_on_the_cells_alone():
    cells = [*TIMED, trained(), trained(dataset="Set14")]
    names = {job.name for job in plan_jobs(cells)}
    assert names == {job.name for job in plan_jobs(cells)}
    assert len(names - {job.name for job in plan_jobs(cells[:-1])}) == 1
    assert len(names - {job.name for job in plan_jobs([*TIMED, trained(), trained(k=8)])}) == 1


def test_what_is_recorded_has_no_job_and_nobody_waits_for_it():
    cells = [trained(), trained(k=8), *SHIPPED]
    jobs = plan_jobs(cells)
    train, evaluate, *_ = jobs
    (render,) = choose_pending(jobs, [])
    assert (render.kind, render.needs) == ("render", ())
    pending = choose_pending(jobs, cells[:1])
    assert [job.name for job in pending] == [evaluate.name, jobs[-1].name]
    assert pending[0].needs == ()
    assert pending[1].needs == (evaluate.name,)
    assert choose_pending(jobs, [*train.cells, *cells]) == jobs
