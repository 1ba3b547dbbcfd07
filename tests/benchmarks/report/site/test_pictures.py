import pytest

from benchmarks.report.site import pictures

# The fixtures of other tests put short lists in their place for as long as all tests run.
LIST_TASKS, LIST_BEYOND = pictures._list_tasks, pictures._list_beyond


def test_galleries_show_the_ends_of_what_networks_were_trained_for():
    assert {task.name for task in LIST_TASKS()} == {
        *("denoise-color-s15", "denoise-color-s50", "jpeg-color-q10", "jpeg-color-q40"),
        *("sr-x4", "demosaic", "deblur", "weather-rain", "weather-snow", "weather-raindrop"),
    }


def test_what_goes_beyond_training_is_shown_once_and_apart():
    beyond = {task.name for task in LIST_BEYOND()}
    assert beyond == {"denoise-color-s75", "jpeg-color-q5"}
    assert beyond.isdisjoint(task.name for task in LIST_TASKS())


@pytest.mark.parametrize(("absent", "families"), [("kgt-", set()), ("swinir-", {"denoise-color"})])
def test_without_weights_of_ours_there_is_nothing_to_see(monkeypatch, absent, families):
    find = pictures.find_shipped
    monkeypatch.setattr(pictures, "find_shipped", lambda n: None if absent in n else find(n))
    monkeypatch.setattr(pictures, "PURPOSES", {"denoise-color": pictures.PURPOSES["denoise-color"]})
    monkeypatch.setattr(pictures, "_list_tasks", LIST_TASKS)
    monkeypatch.setattr(pictures, "_list_beyond", list)
    shown = [*pictures.restore_all()]
    assert {restored.models for restored in shown} == {
        ("kgt-tiny-denoise-color", "") for _ in families
    }
    assert all(restored.difference == 0 for restored in shown)
