import pytest

from benchmarks.plan.cells import Cell
from benchmarks.plan.quality import run_quality_cell
from benchmarks.quality import get_task, load_dataset


def run(tmp_path, **fields):
    cell = Cell(kind="quality", **fields)
    return run_quality_cell(cell, tmp_path, lambda what, fraction: None)


def test_a_method_without_weights_is_scored_on_every_image(tmp_path):
    result = run(
        tmp_path,
        task="jpeg-gray-q10",
        dataset="embedded",
        model="identity",
        protocol="jpeg-gray@1",
    )
    assert set(result["metrics"]) == {"psnr", "ssim", "psnr_b"}
    assert [result["metrics"][name].unit for name in ("psnr", "ssim", "psnr_b")] == ["dB", "", "dB"]
    assert list(result["per_image"]) == list(load_dataset("embedded").paths)
    assert result["checks"]["tiling"] == "whole"
    degradation = get_task("jpeg-gray-q10").degradation(load_dataset("embedded"))
    assert result["checks"]["degradation"] == degradation


@pytest.mark.parametrize("dataset", ["embedded", "GoPro"])
def test_a_network_without_trained_weights_is_not_scored(tmp_path, dataset):
    result = run(tmp_path, task="deblur", dataset=dataset, model="kgt-u", protocol="deblur-rgb@1")
    assert result["status"] == "unsupported"
    assert "no trained weights ship for 'kgt-u'" in result["reason"]


def test_an_absent_set_is_named_without_the_machines_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_DATA", str(tmp_path))
    result = run(
        tmp_path, task="deblur", dataset="GoPro", model="identity", protocol="deblur-rgb@1"
    )
    assert result["status"] == "unsupported"
    assert "GoPro is absent: 1,111 images expected" in result["reason"]
    assert str(tmp_path) not in result["reason"]


def test_a_protocol_whose_rules_have_changed_is_refused(tmp_path):
    with pytest.raises(ValueError, match="asks for protocol native@0, the rules are native@1"):
        run(
            tmp_path,
            task="weather-rain",
            dataset="embedded",
            model="identity",
            protocol="native@0",
        )
